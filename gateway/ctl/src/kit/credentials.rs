//! The admin key: from the environment, the file of credentials, or the flag, in this order.
//!
//! Invariant: a file that others may read is refused, since its key is no secret any more.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;

use super::failure::Failure;

/// Permissions of a group and of others.
const OTHERS: u32 = 0o077;

/// The admin key, from the first of these that has it.
///
/// # Errors
/// A file of credentials that cannot be read, or that others may read.
pub(crate) fn admin_key(flag: Option<&str>) -> anyhow::Result<Option<String>> {
    let set = |key: &str| Some(key.trim().to_owned()).filter(|key| !key.is_empty());
    if let Some(key) = std::env::var("MIROIR_ADMIN_API_KEY").ok().as_deref().and_then(set) {
        return Ok(Some(key));
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let file = home.map(|home| home.join(".config/miroir/credentials"));
    let of_file = file.as_deref().map(read).transpose()?.flatten();
    Ok(of_file.as_deref().and_then(set).or_else(|| flag.and_then(set)))
}

/// The text of the file, if there is one.
fn read(file: &Path) -> anyhow::Result<Option<String>> {
    let shown = file.display();
    let metadata = match fs::metadata(file) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{shown} cannot be read")),
    };
    let mode = metadata.permissions().mode();
    if mode & OTHERS != 0 {
        return Err(Failure::usage(format!(
            "{shown} may be read or changed by others (mode {:o}): chmod 600 {shown}, and change the key",
            mode & 0o777
        )));
    }
    Ok(Some(fs::read_to_string(file).with_context(|| format!("{shown} cannot be read"))?))
}
