//! Tables: columns aligned, headings bold.

use std::io::Write;

use tabwriter::TabWriter;

use super::show::{Colour, painted};

/// A table of lines of cells.
pub(crate) struct Table {
    text: String,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let headings = headings.iter().map(|heading| painted(Colour::Bold, heading)).collect::<Vec<_>>();
        Self { text: headings.join("\t") + "\n" }
    }

    /// A table without headings.
    pub(crate) fn bare() -> Self {
        Self { text: String::new() }
    }

    /// Adds a line.
    pub(crate) fn row<T: AsRef<str>>(&mut self, cells: &[T]) {
        let cells = cells.iter().map(|cell| cell.as_ref().replace(['\t', '\n'], " ")).collect::<Vec<_>>();
        self.text.push_str(cells.join("\t").trim_end());
        self.text.push('\n');
    }

    /// The table in lines of aligned columns.
    pub(crate) fn text(&self) -> String {
        let mut writer = TabWriter::new(Vec::new()).ansi(true).padding(2);
        // Writing into memory does not fail.
        let _ = writer.write_all(self.text.as_bytes()).and_then(|()| writer.flush());
        let bytes = writer.into_inner().unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kit::show;

    #[test]
    fn columns_are_aligned_whatever_their_colours() {
        let mut table = Table::new(&["NODE", "STATE", "URL"]);
        table.row(&["a".to_owned(), show::state(&json!("up")), "u".to_owned()]);
        table.row(&["a-longer-one", "joining", "a\tb\nc"]);
        let expected = "NODE          STATE    URL\na             up       u\na-longer-one  joining  a b c\n";
        assert_eq!(show::plain(&table.text()), expected);
        assert_eq!(Table::bare().text(), "");
    }
}
