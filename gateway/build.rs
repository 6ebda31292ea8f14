//! Packs the built web interfaces (`web/dist`) for the binary: each file once, compressed, with its entity tag.
//!
//! Invariant: the same files give the same bytes, and nothing but this repository is needed.

use std::{
    collections::BTreeMap,
    env, fs,
    hash::{DefaultHasher, Hasher},
    io::{self, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};

/// Where the interfaces are built to.
const BUILT: &str = "web/dist";

fn main() -> io::Result<()> {
    let out = env::var_os("OUT_DIR").map(PathBuf::from).ok_or_else(|| io::Error::other("no OUT_DIR"))?;
    let root = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default().join(BUILT);
    let mut files = BTreeMap::new();
    collect(&root, &root, &mut files)?;
    let mut table = String::from("&[\n");
    for (number, (name, bytes)) in files.iter().enumerate() {
        let packed = format!("{number}.gz");
        fs::write(out.join(&packed), compressed(bytes)?)?;
        let mut hasher = DefaultHasher::new();
        hasher.write(bytes);
        table.push_str(&format!(
            "    Asset {{ name: {name:?}, tag: \"\\\"{:016x}\\\"\", length: {}, \
             packed: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{packed}\")) }},\n",
            hasher.finish(),
            bytes.len()
        ));
    }
    table.push(']');
    fs::write(out.join("assets.rs"), table)?;
    writeln!(io::stdout(), "cargo::rerun-if-changed={BUILT}\ncargo::rerun-if-changed=build.rs")
}

/// Every file below a folder, by its path from the root with `/` between the parts.
fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
            continue;
        }
        let name = path.strip_prefix(root).map_err(io::Error::other)?;
        let name = name.components().map(|part| part.as_os_str().to_string_lossy());
        files.insert(name.collect::<Vec<_>>().join("/"), fs::read(&path)?);
    }
    Ok(())
}

fn compressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}
