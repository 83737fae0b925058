//! `make demo`, what a newcomer runs first.

use std::path::Path;
use std::time::Duration;

use testkit::Program;

use crate::setup::binary;

#[test]
fn it_succeeds() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let exit = Program::new(root.join("scripts/demo.sh"))
        .arg(binary())
        .current_dir(root)
        .run_for(Duration::from_secs(120));
    exit.assert_code(0);
}
