use super::*;

fn place(parent: NodeId, name: &str) -> Place {
    Place {
        parent,
        name: name.as_bytes().into(),
    }
}

fn path(tree: &Tree, id: NodeId) -> String {
    String::from_utf8(tree.path(id).unwrap().to_vec()).unwrap()
}

#[test]
fn a_move_changes_the_paths_below() {
    let mut tree = Tree::new();
    let a = tree.ensure(&place(Tree::ROOT, "a")).unwrap();
    let b = tree.ensure(&place(a, "b")).unwrap();
    let x = tree.ensure(&place(Tree::ROOT, "x")).unwrap();
    tree.set_watch(b, 7, FileId { dev: 1, ino: 7 });
    assert_eq!(path(&tree, b), "a/b");
    tree.unplace(a);
    assert_eq!(path(&tree, b), "a/b", "until its new place is known");
    assert!(tree.find(b"a").is_none());
    assert!(tree.put(a, &place(x, "y")));
    assert_eq!(path(&tree, b), "x/y/b");
    assert_eq!(tree.find(b"x/y/b"), Some(b));
    assert_eq!(tree.by_wd(7), Some(b));
    assert_eq!(tree.remove(x), [7]);
    assert_eq!((tree.directories(), tree.entries()), (1, 0));
    assert_eq!(tree.path(b), None);
    assert_eq!(tree.by_wd(7), None);
}

#[test]
fn no_directory_goes_below_itself_or_onto_another() {
    let mut tree = Tree::new();
    let a = tree.ensure(&place(Tree::ROOT, "a")).unwrap();
    let b = tree.ensure(&place(a, "b")).unwrap();
    let c = tree.ensure(&place(Tree::ROOT, "c")).unwrap();
    tree.unplace(a);
    assert!(!tree.put(a, &place(b, "a")));
    assert!(!tree.put(a, &place(Tree::ROOT, "c")));
    assert!(tree.put(a, &place(c, "a")));
}

#[test]
fn a_watch_has_one_owner() {
    let mut tree = Tree::new();
    let a = tree.ensure(&place(Tree::ROOT, "a")).unwrap();
    let b = tree.ensure(&place(Tree::ROOT, "b")).unwrap();
    let dir = FileId { dev: 1, ino: 9 };
    tree.set_watch(a, 1, dir);
    tree.set_watch(b, 1, dir);
    assert_eq!(tree.get(a).unwrap().wd, None);
    assert_eq!(tree.by_wd(1), Some(b));
    tree.set_watch(b, 2, dir);
    assert_eq!(tree.by_wd(1), None);
    assert_eq!(tree.clear_watch(2), Some(b));
    assert_eq!(tree.get(b).unwrap().wd, None);
}

#[test]
fn names_are_counted_once_and_found_by_number() {
    let mut tree = Tree::new();
    tree.set_watch(Tree::ROOT, 1, FileId { dev: 1, ino: 2 });
    tree.add_name(Tree::ROOT, b"f", 5);
    tree.add_name(Tree::ROOT, b"f", 5);
    tree.see_name(Tree::ROOT, b"f");
    tree.add_name(Tree::ROOT, b"g", 5);
    assert_eq!(tree.entries(), 2);
    let wanted = [FileId { dev: 1, ino: 5 }].into();
    assert_eq!(tree.names_of(&wanted).len(), 2);
    assert_eq!(tree.remove_name(Tree::ROOT, b"f"), Some(5));
    assert_eq!(tree.remove_name(Tree::ROOT, b"f"), None);
    assert_eq!(tree.entries(), 1);
}
