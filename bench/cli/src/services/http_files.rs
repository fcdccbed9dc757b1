//! The files of `--root`, read into memory at start: no request touches the disk, and nothing outside of the folder can be named.
//!
//! A path is looked up whole, as it is after percent-decoding, among those that were found at start: `..`, NUL and whatever
//! else is tricky is simply not there. Symbolic links are followed within the folder; those that lead out of it are left out.

use std::collections::HashMap;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use walkdir::{DirEntry, WalkDir};

/// All files below a folder.
#[derive(Debug, Default)]
pub(crate) struct Files {
    files: Vec<File>,
    by_path: HashMap<Vec<u8>, Place>,
    bytes: u64,
}

/// One file, with the parts of its answers that never change.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    pub(crate) content_type: &'static str,
    /// A strong one, with its quotes.
    pub(crate) etag: String,
    /// When it was changed, in whole seconds.
    pub(crate) modified: SystemTime,
    pub(crate) last_modified: String,
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    File(u32),
    /// A folder that was named without its slash: where it is.
    Folder(Box<str>),
}

/// Why a folder can't be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootError {
    #[error("--root: {0} is not a folder that can be read: {1}")]
    NoFolder(PathBuf, std::io::Error),
    #[error(
        "--root: {0} has more than 1 GiB in its files, which are read into memory; serve a smaller folder"
    )]
    TooLarge(PathBuf),
    #[error("--root: {0} has more than {MOST_FILES} files; serve a smaller folder")]
    TooMany(PathBuf),
    #[error("--root: {0} can't be read: {1}; change its permissions or take it out of the folder")]
    Unreadable(PathBuf, std::io::Error),
}

impl Files {
    /// Reads all files below `root`.
    pub(crate) fn load(root: &Path) -> Result<Self, RootError> {
        let no_folder = |error| RootError::NoFolder(root.to_owned(), error);
        let real = root.canonicalize().map_err(no_folder)?;
        std::fs::read_dir(&real).map_err(no_folder)?;
        let mut files = Self::default();
        let walk = WalkDir::new(&real).follow_links(true).sort_by_file_name();
        for entry in walk.into_iter().filter_entry(|entry| stays_within(entry, &real)) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    left_out(&real, error)?;
                    continue;
                }
            };
            let mut path = vec![b'/'];
            if let Ok(below) = entry.path().strip_prefix(&real) {
                path.extend_from_slice(below.as_os_str().as_bytes());
            }
            if entry.file_type().is_dir() {
                files.add_folder(path);
            } else if entry.file_type().is_file() {
                files.add_file(path, entry.path(), root)?;
            } else {
                tracing::warn!(
                    "--root: {} is no file and no folder; left out",
                    entry.path().display()
                );
            }
        }
        Ok(files)
    }

    /// What stands at a path, after percent-decoding.
    pub(crate) fn find(&self, path: &[u8]) -> Option<&Place> {
        self.by_path.get(path)
    }

    pub(crate) fn at(&self, number: u32) -> &File {
        &self.files[number as usize]
    }

    /// How many files, and how many bytes in them.
    pub(crate) fn extent(&self) -> (usize, u64) {
        (self.files.len(), self.bytes)
    }

    fn add_folder(&mut self, path: Vec<u8>) {
        if path != b"/" {
            let there = format!("{}/", percent_encode(&path, ESCAPED));
            self.by_path.insert(path, Place::Folder(there.into()));
        }
    }

    fn add_file(&mut self, path: Vec<u8>, from: &Path, root: &Path) -> Result<(), RootError> {
        if self.files.len() == MOST_FILES {
            return Err(RootError::TooMany(root.to_owned()));
        }
        let unreadable = |error| RootError::Unreadable(from.to_owned(), error);
        let file = std::fs::File::open(from).map_err(unreadable)?;
        let modified = file
            .metadata()
            .and_then(|metadata| metadata.modified())
            .map_err(unreadable)?;
        let mut bytes = Vec::new();
        let left = MOST_BYTES - self.bytes;
        file.take(left + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        bytes.shrink_to_fit();
        if bytes.len() as u64 > left {
            return Err(RootError::TooLarge(root.to_owned()));
        }
        self.bytes += bytes.len() as u64;
        let number = self.files.len() as u32;
        let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        let modified = UNIX_EPOCH + Duration::from_secs(since.as_secs());
        self.files.push(File {
            etag: format!("\"{:x}-{:x}\"", since.as_nanos(), bytes.len()),
            bytes,
            content_type: mime_guess::from_path(from)
                .first_raw()
                .unwrap_or("application/octet-stream"),
            modified,
            last_modified: httpdate::fmt_http_date(modified),
        });
        if let Some(folder) = path.strip_suffix(INDEX)
            && folder.ends_with(b"/")
        {
            self.by_path.insert(folder.to_vec(), Place::File(number));
        }
        self.by_path.insert(path, Place::File(number));
        Ok(())
    }
}

/// `false` for a symbolic link that leads out of the folder.
fn stays_within(entry: &DirEntry, root: &Path) -> bool {
    if entry.depth() == 0 || !entry.path_is_symlink() {
        return true;
    }
    let within = entry
        .path()
        .canonicalize()
        .is_ok_and(|target| target.starts_with(root));
    if !within {
        tracing::warn!(
            "--root: {} leads out of the folder; left out",
            entry.path().display()
        );
    }
    within
}

/// Links that lead nowhere, or round in a circle, are left out; what else can't be read is an error.
fn left_out(root: &Path, error: walkdir::Error) -> Result<(), RootError> {
    let path = error.path().unwrap_or(root).to_owned();
    let is_gone = error
        .io_error()
        .is_some_and(|io| io.kind() == std::io::ErrorKind::NotFound);
    if error.loop_ancestor().is_some() || is_gone {
        tracing::warn!("--root: {error}; left out");
        return Ok(());
    }
    Err(RootError::Unreadable(path, error.into()))
}

/// The file that stands for its folder.
const INDEX: &[u8] = b"index.html";

/// Bytes of all files: 1 GiB.
const MOST_BYTES: u64 = 1 << 30;

/// Files, with what is kept for each some hundred bytes.
const MOST_FILES: usize = 100_000;

/// What of a path is percent-encoded: all but RFC 3986's unreserved characters and the slash.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

#[cfg(test)]
mod tests {
    use super::super::testing::Folder;
    use super::*;

    fn found<'a>(files: &'a Files, path: &str) -> Option<&'a [u8]> {
        match files.find(path.as_bytes())? {
            Place::File(number) => Some(&files.at(*number).bytes),
            Place::Folder(_) => None,
        }
    }

    #[test]
    fn files_are_where_they_lie_and_folders_are_their_index() {
        let folder = Folder::new("files");
        folder.file("index.html", b"<p>home");
        folder.file("a b/c.json", b"{}");
        folder.file("a b/plain", b"x");
        let files = Files::load(folder.path()).unwrap();
        assert_eq!(found(&files, "/"), Some(&b"<p>home"[..]));
        assert_eq!(found(&files, "/index.html"), Some(&b"<p>home"[..]));
        assert_eq!(found(&files, "/a b/c.json"), Some(&b"{}"[..]));
        assert_eq!(
            files.find(b"/a b"),
            Some(&Place::Folder("/a%20b/".into())),
            "a slash is missing"
        );
        for none in [
            "/a b/",
            "",
            "/c.json",
            "/a b/c.json/",
            "/../index.html",
            "/./index.html",
            "//index.html",
            "/index.html\0",
        ] {
            assert_eq!(files.find(none.as_bytes()), None, "{none}");
        }
        let types: Vec<_> = files.files.iter().map(|file| file.content_type).collect();
        assert_eq!(
            types,
            ["application/json", "application/octet-stream", "text/html"]
        );
        assert_eq!(files.extent(), (3, 10));
    }

    #[test]
    fn links_are_followed_only_within_the_folder() {
        let outside = Folder::new("outside");
        outside.file("secret", b"secret");
        let folder = Folder::new("links");
        folder.file("sub/real", b"real");
        folder.link("alias", "sub/real");
        folder.link("also", "sub");
        folder.link("out-file", outside.path().join("secret"));
        folder.link("out-folder", outside.path());
        folder.link("sub/up-and-out", "../../");
        folder.link("round", ".");
        folder.link("nowhere", "no such file");
        let files = Files::load(folder.path()).unwrap();
        for here in ["/alias", "/also/real", "/sub/real"] {
            assert_eq!(found(&files, here), Some(&b"real"[..]), "{here}");
        }
        let served: Vec<_> = files.files.iter().map(|file| &file.bytes[..]).collect();
        assert!(!served.contains(&&b"secret"[..]));
        assert_eq!(served.len(), 3, "no more than these");
    }

    #[test]
    fn what_is_no_folder_is_refused_by_name() {
        let folder = Folder::new("refused");
        folder.file("file", b"");
        for wrong in [folder.path().join("none"), folder.path().join("file")] {
            let error = Files::load(&wrong).unwrap_err().to_string();
            assert!(error.contains(wrong.to_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn files_too_large_for_memory_are_refused_before_they_are_read_whole() {
        let folder = Folder::new("large");
        folder.file("a", b"x");
        // A hole: it takes no room on the disk.
        let file = std::fs::File::create(folder.path().join("hole")).unwrap();
        file.set_len(1 << 40).unwrap();
        let mut files = Files {
            bytes: MOST_BYTES - 1_000,
            ..Files::default()
        };
        let hole = folder.path().join("hole");
        let error = files
            .add_file(b"/hole".to_vec(), &hole, folder.path())
            .unwrap_err();
        assert!(matches!(error, RootError::TooLarge(_)), "{error}");
        assert!(files.files.is_empty());
    }
}
