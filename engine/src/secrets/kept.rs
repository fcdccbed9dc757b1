//! The file in which an engine leaves its keys for the next one of this boot.
//!
//! ```text
//!   fourtuple-secrets/1 BOOT-ID 128 hexadecimal digits
//! ```
//! One line; only its owner may read it. What is wrong in it (another boot, half written, another version) is written anew, so
//! nothing that is left there stops a start. Two processes that start at once are told apart by a lock, for which nobody waits
//! long.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};

use super::HandedDown;

/// The keys in the file, if they are of this boot; else `fresh`, which stands there from now on.
///
/// # Errors
/// When the file can't be had, or others may read or replace it.
pub(super) fn kept_or(path: &Path, fresh: &HandedDown) -> io::Result<HandedDown> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    kept_or_of_boot(path, boot.trim(), fresh)
}

fn kept_or_of_boot(path: &Path, boot: &str, fresh: &HandedDown) -> io::Result<HandedDown> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        let made = std::fs::DirBuilder::new().mode(0o700).create(folder);
        made.or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        })?;
    }
    check_folder(folder.unwrap_or(Path::new(".")))?;
    let mut file = open(path)?;
    lock(&file)?;
    let mut text = String::new();
    // As long as a line may be: whatever else lies there is not read to its end.
    let read = (&mut file).take(LINE_MOST).read_to_string(&mut text);
    if let Some(kept) = read.ok().and_then(|_| parse(&text, boot)) {
        return Ok(kept);
    }
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(line(boot, fresh).as_bytes())?;
    Ok(fresh.clone())
}

/// Nobody else may put another file in its place.
fn check_folder(folder: &Path) -> io::Result<()> {
    let found = std::fs::metadata(folder)?;
    if found.uid() != own_uid() && found.uid() != 0 {
        return Err(refused("its folder belongs to somebody else"));
    }
    if found.mode() & 0o022 != 0 {
        return Err(refused("others may write to its folder"));
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags.bits() as i32)
        .open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(refused("it is no file"));
    }
    if found.uid() != own_uid() || found.mode() & 0o077 != 0 {
        return Err(refused("others may read it; delete it, or name another"));
    }
    Ok(file)
}

/// The lock ends with the file.
fn lock(file: &File) -> io::Result<()> {
    for _ in 0..TRIES {
        if flock(file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(());
        }
        std::thread::sleep(TRY_EVERY);
    }
    Err(refused("another process holds it"))
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn line(boot: &str, keys: &HandedDown) -> String {
    let HandedDown {
        isn,
        timestamps,
        cookies,
        fast_open,
    } = keys;
    let words = [isn, timestamps, cookies, fast_open].map(|(one, other)| format!("{one:016x}{other:016x}"));
    format!("{VERSION} {boot} {}\n", words.concat())
}

fn parse(text: &str, boot: &str) -> Option<HandedDown> {
    let mut words = text.strip_suffix('\n')?.split(' ');
    if words.next()? != VERSION || words.next()? != boot {
        return None;
    }
    let digits = words.next()?;
    if words.next().is_some() || digits.len() != 8 * 16 || !digits.is_ascii() {
        return None;
    }
    let word = |n: usize| u64::from_str_radix(&digits[n * 16..n * 16 + 16], 16).ok();
    let pair = |n: usize| Some((word(n)?, word(n + 1)?));
    Some(HandedDown {
        isn: pair(0)?,
        timestamps: pair(2)?,
        cookies: pair(4)?,
        fast_open: pair(6)?,
    })
}

const VERSION: &str = "fourtuple-secrets/1";

/// Octets that are read.
const LINE_MOST: u64 = 512;

/// Who holds the lock writes one line.
const TRIES: u32 = 20;
const TRY_EVERY: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::super::Secrets;
    use super::*;

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("fourtuple-kept-{}-{name}", std::process::id()));
            std::fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn keys(seed: u64) -> HandedDown {
        Secrets::from_seed(seed).handed_down
    }

    #[test]
    fn the_first_leaves_them_and_the_next_goes_on_with_them_until_the_machine_boots() {
        let folder = Folder::new("next");
        // The folder is made when its own is there.
        let path = folder.0.join("fourtuple/secrets");
        assert_eq!(kept_or_of_boot(&path, "boot-1", &keys(1)).unwrap(), keys(1));
        assert_eq!(kept_or_of_boot(&path, "boot-1", &keys(2)).unwrap(), keys(1));
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(
            std::fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777,
            0o700
        );
        assert_eq!(kept_or_of_boot(&path, "boot-2", &keys(3)).unwrap(), keys(3));
        assert_eq!(kept_or_of_boot(&path, "boot-2", &keys(4)).unwrap(), keys(3));
    }

    #[test]
    fn what_is_wrong_in_it_is_written_anew() {
        let folder = Folder::new("wrong");
        let path = folder.0.join("secrets");
        let right = line("boot", &keys(1));
        let wrong = [
            String::new(),
            "\n".into(),
            right[..right.len() - 1].into(),
            right.replace("/1", "/2"),
            right.replace("boot", "toob"),
            right.replace('\n', " more\n"),
            right.replace(" boot ", " boot é"),
            format!("{}\n", "x".repeat(100_000)),
        ];
        for text in wrong {
            std::fs::write(&path, &text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(
                kept_or_of_boot(&path, "boot", &keys(2)).unwrap(),
                keys(2),
                "{text:.60}"
            );
            assert_eq!(
                kept_or_of_boot(&path, "boot", &keys(3)).unwrap(),
                keys(2),
                "{text:.60}"
            );
        }
    }

    #[test]
    fn what_others_may_read_or_replace_is_refused() {
        let folder = Folder::new("others");
        let path = folder.0.join("secrets");
        std::fs::write(&path, line("boot", &keys(1))).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(
            kept_or_of_boot(&path, "boot", &keys(2)).is_err(),
            "others may read it"
        );
        std::fs::remove_file(&path).unwrap();
        symlink(folder.0.join("elsewhere"), &path).unwrap();
        assert!(kept_or_of_boot(&path, "boot", &keys(2)).is_err(), "a link");
        assert!(!folder.0.join("elsewhere").exists());
        std::fs::remove_file(&path).unwrap();
        std::fs::set_permissions(&folder.0, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(
            kept_or_of_boot(&path, "boot", &keys(2)).is_err(),
            "others may replace it"
        );
        assert!(kept_or_of_boot(Path::new("/proc/none/secrets"), "boot", &keys(2)).is_err());
    }

    #[test]
    fn nobody_waits_for_one_who_holds_it() {
        let folder = Folder::new("held");
        let path = folder.0.join("secrets");
        kept_or_of_boot(&path, "boot", &keys(1)).unwrap();
        let held = open(&path).unwrap();
        lock(&held).unwrap();
        assert!(kept_or_of_boot(&path, "boot", &keys(2)).is_err());
        drop(held);
        assert_eq!(kept_or_of_boot(&path, "boot", &keys(2)).unwrap(), keys(1));
    }
}
