//! What is transferred.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use testkit::tree::set_mtime;
use testkit::{Compare, Random};

/// The daemon's module; each case has a directory in it.
pub(crate) const MODULE: &str = "bench";

/// How much of everything.
#[derive(Debug)]
pub(crate) struct Scale {
    pub(crate) runs: u32,
    big_file: u64,
    small_files: usize,
    unchanged_files: usize,
    pub(crate) mirror_files: usize,
    pub(crate) mirror_changes: usize,
    /// Of the ideal shell loop, which takes its time.
    pub(crate) loop_changes: usize,
}

impl Scale {
    pub(crate) const fn full() -> Self {
        Self {
            runs: 5,
            big_file: 200_000_000,
            small_files: 50_000,
            unchanged_files: 200_000,
            mirror_files: 10_000,
            mirror_changes: 200,
            loop_changes: 40,
        }
    }

    pub(crate) const fn quick() -> Self {
        Self {
            runs: 3,
            big_file: 20_000_000,
            small_files: 2000,
            unchanged_files: 10_000,
            mirror_files: 1000,
            mirror_changes: 100,
            loop_changes: 10,
        }
    }
}

/// All cases: sources below `dir`, targets in `module`.
pub(crate) fn all(dir: &Path, module: &Path, scale: &Scale) -> Vec<Case> {
    let case = |number: usize, name: String, kind, options: &'static [&'static str]| Case {
        source: dir.join(format!("source-{number}")),
        target: module.join(format!("case-{number}")),
        place: format!("{MODULE}/case-{number}"),
        name,
        kind,
        options,
    };
    let mb = scale.big_file / 1_000_000;
    let len = scale.big_file;
    let (small, unchanged) = (scale.small_files, scale.unchanged_files);
    vec![
        case(
            1,
            format!("fresh file of {mb} MB"),
            Kind::Fresh { len },
            &[],
        ),
        case(
            2,
            format!("delta of {mb} MB, 4 KiB changed, MD5"),
            Kind::Delta { len },
            &["--checksum-choice=md5"],
        ),
        case(
            3,
            format!("delta of {mb} MB, 4 KiB changed, XXH128"),
            Kind::Delta { len },
            &["--checksum-choice=xxh128"],
        ),
        case(
            4,
            format!("{small} small files"),
            Kind::Small { count: small },
            &[],
        ),
        case(
            5,
            format!("{unchanged} unchanged files"),
            Kind::Unchanged { count: unchanged },
            &[],
        ),
    ]
}

/// One kind of transfer.
#[derive(Debug)]
pub(crate) struct Case {
    name: String,
    source: PathBuf,
    target: PathBuf,
    /// Module and directory, as an address names them.
    place: String,
    kind: Kind,
    options: &'static [&'static str],
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Fresh { len: u64 },
    Delta { len: u64 },
    Small { count: usize },
    Unchanged { count: usize },
}

impl Case {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) fn source(&self) -> &Path {
        &self.source
    }

    pub(crate) const fn options(&self) -> &'static [&'static str] {
        self.options
    }

    /// Makes the source, and of the target what all runs share.
    pub(crate) fn prepare(&self) {
        fs::create_dir_all(&self.source).expect("the source");
        fs::create_dir_all(&self.target).expect("the target");
        match self.kind {
            Kind::Fresh { len } => write_big(&self.source.join(BIG), len),
            Kind::Delta { len } => {
                let (source, target) = (self.source.join(BIG), self.target.join(BIG));
                write_big(&source, len);
                fs::copy(&source, &target).expect("a copy of the file");
                overwrite(&source, len, &Random::new(2).bytes(CHANGED));
            }
            Kind::Small { count } => make_files(&self.source, count, 4000),
            Kind::Unchanged { count } => {
                // Both get the same times, so that the quick check finds nothing to do.
                make_files(&self.source, count, 100);
                make_files(&self.target, count, 100);
            }
        }
        // rsync compares times of directories in whole seconds: one made just now could keep its own at the target.
        set_mtime(&self.source, 1_600_000_000, 0);
    }

    /// Brings the target back to where every run starts.
    pub(crate) fn reset(&self) {
        match self.kind {
            Kind::Fresh { .. } | Kind::Small { .. } => {
                fs::remove_dir_all(&self.target).expect("the target can be removed");
                fs::create_dir(&self.target).expect("the target");
            }
            Kind::Delta { len } => {
                let target = self.target.join(BIG);
                overwrite(&target, len, &original(len));
                set_mtime(&target, 1_000_000_000, 0);
            }
            Kind::Unchanged { .. } => {}
        }
    }

    /// Insists that the target is the source.
    ///
    /// # Panics
    /// When it is not: a fast client that is wrong is not fast.
    pub(crate) fn check(&self, client: &str) {
        let found = testkit::differences(&self.source, &self.target, &Compare::exact());
        assert!(
            found.is_empty(),
            "{client}, {}: {} differences, first {:?}",
            self.name,
            found.len(),
            found.first()
        );
    }

    /// Removes what it made.
    pub(crate) fn remove(&self) {
        for dir in [&self.source, &self.target] {
            fs::remove_dir_all(dir).expect("our own files can be removed");
        }
    }
}

/// `count` files of up to `max` bytes, 100 in a directory; the same every time.
pub(crate) fn make_files(root: &Path, count: usize, max: u64) {
    let mut random = Random::new(4);
    for number in 0..count {
        let dir = root.join(format!("dir-{}", number / 100));
        if number % 100 == 0 {
            fs::create_dir_all(&dir).expect("a directory");
        }
        let len = usize::try_from(random.below(max + 1)).expect("small");
        let path = dir.join(format!("file-{number}"));
        fs::write(&path, random.bytes(len)).expect("a file");
        set_mtime(&path, 1_600_000_000, 0);
    }
    for number in 0..count.div_ceil(100) {
        set_mtime(&root.join(format!("dir-{number}")), 1_600_000_000, 0);
    }
    set_mtime(root, 1_600_000_000, 0);
}

fn write_big(path: &Path, len: u64) {
    let mut random = Random::new(1);
    let mut file = fs::File::create_new(path).expect("a file");
    let mut left = len;
    let mut buffer = vec![0; 1 << 20];
    while left > 0 {
        random.fill(&mut buffer);
        let piece = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        file.write_all(&buffer[..piece])
            .expect("space for the file");
        left -= piece as u64;
    }
}

/// Where the changed bytes are: in the middle, and not at the start of a block.
const fn changed_at(len: u64) -> u64 {
    len / 2 + 12_345
}

/// What stands there in the basis.
fn original(len: u64) -> Vec<u8> {
    // The same numbers as in `write_big`, which draws them eight bytes at a time.
    let at = changed_at(len);
    let skip = usize::try_from(at % 8).expect("small");
    let mut random = Random::new(1);
    for _ in 0..at / 8 {
        random.bits();
    }
    random.bytes(skip + CHANGED)[skip..].to_vec()
}

fn overwrite(path: &Path, len: u64, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .open(path)
        .expect("the file");
    file.seek(SeekFrom::Start(changed_at(len)))
        .expect("a place in the file");
    file.write_all(bytes).expect("the file can be written");
}

const BIG: &str = "big";
const CHANGED: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_gives_the_basis_again() {
        let dir = testkit::temp_dir();
        let len = 3_000_001;
        let (basis, file) = (dir.path().join("basis"), dir.path().join("file"));
        write_big(&basis, len);
        write_big(&file, len);
        overwrite(&file, len, &[7; CHANGED]);
        assert_ne!(fs::read(&basis).unwrap(), fs::read(&file).unwrap());
        overwrite(&file, len, &original(len));
        assert!(fs::read(&basis).unwrap() == fs::read(&file).unwrap());
    }

    #[test]
    fn made_files_are_the_same_every_time() {
        let dir = testkit::temp_dir();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        make_files(&a, 250, 100);
        make_files(&b, 250, 100);
        testkit::assert_same(&a, &b, &Compare::exact());
    }
}
