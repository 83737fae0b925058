//! Reading directories.

use std::collections::BTreeMap;

use super::*;

fn list(dir: &Dir, buf: &mut ListBuf) -> BTreeMap<String, Option<FileKind>> {
    let mut listing = dir.list(buf).unwrap();
    let mut all = BTreeMap::new();
    while let Some(entry) = listing.next() {
        let entry = entry.unwrap();
        let name = String::from_utf8(entry.name.to_vec()).unwrap();
        assert_eq!(all.insert(name, entry.kind), None, "an entry twice");
    }
    all
}

#[test]
fn entries_with_their_types() {
    both(|site| {
        site.dirs("d/sub");
        site.file("d/file", b"");
        site.link("d/link", "nowhere");
        site.dir("d")
            .mknod(n("fifo"), Special::Fifo, 0o600)
            .unwrap();
        let expected: BTreeMap<_, _> = [
            ("sub", FileKind::Directory),
            ("file", FileKind::Regular),
            ("link", FileKind::Symlink),
            ("fifo", FileKind::Fifo),
        ]
        .map(|(name, kind)| (name.to_string(), Some(kind)))
        .into();
        let mut buf = ListBuf::default();
        let readable = site.root().open_list(n("d")).unwrap();
        for dir in [&site.dir("d"), &readable, &readable, &readable.clone()] {
            assert_eq!(list(dir, &mut buf), expected);
        }
        assert_eq!(
            list(
                &site.tree.open_list(p("d"), Links::Refuse).unwrap(),
                &mut buf
            ),
            expected
        );
    });
}

#[test]
fn more_entries_than_one_buffer_holds() {
    both(|site| {
        let name = |i: usize| format!("{i:0>200}");
        for i in 0..1000 {
            site.file(&name(i), b"");
        }
        let entries = list(site.root(), &mut ListBuf::default());
        assert_eq!(entries.len(), 1000);
        assert!((0..1000).all(|i| entries.contains_key(&name(i))));
    });
}

#[test]
fn two_listings_of_one_handle_do_not_disturb_each_other() {
    both(|site| {
        for i in 0..10 {
            site.file(&i.to_string(), b"");
        }
        let dir = site.tree.open_list(RelPath::ROOT, Links::Refuse).unwrap();
        let (mut one, mut two) = (ListBuf::default(), ListBuf::default());
        let mut first = dir.list(&mut one).unwrap();
        first.next().unwrap().unwrap();
        assert_eq!(list(&dir, &mut two).len(), 10);
        let mut rest = 0;
        while let Some(entry) = first.next() {
            entry.unwrap();
            rest += 1;
        }
        assert_eq!(rest, 9);
    });
}
