//! Writes the seeds of every target to `fuzz/corpus/TARGET/`, where cargo fuzz looks for them.

use std::fs;
use std::io;
use std::path::Path;

use syncline_fuzz::TARGETS;

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in TARGETS {
        let folder = corpus.join(target.name);
        fs::create_dir_all(&folder)?;
        let seeds = (target.seeds)();
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:04}")), seed)?;
        }
        println!("{:24} {:4} seeds", target.name, seeds.len());
    }
    Ok(())
}
