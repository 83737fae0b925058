//! Every target over its seeds, over the inputs that once failed, and over mutations of both.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use syncline_fuzz::mutate::{Random, mutated};
use syncline_fuzz::{TARGETS, Target};

/// Mutations in a run, all targets together.
const MUTATIONS: usize = 20_000;
/// Targets that get fewer of them: each input runs a session on files.
const COSTLY: [&str; 2] = ["receiving", "sending"];
/// Most bytes on the heap that one input may lead to at any time: no number of a peer may size a buffer.
const MEMORY: isize = 16 << 20;

#[test]
fn seeds() {
    all_hold(|target| {
        let inputs = inputs(target);
        assert!(
            inputs.len() >= 4,
            "{} has {} seeds",
            target.name,
            inputs.len()
        );
        inputs.into_iter().find_map(|input| failure(target, &input))
    });
}

/// The same mutations in every run. `FUZZ_MUTATIONS` asks for another number of them, `FUZZ_SEED` for others.
#[test]
fn mutations() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse().ok())
    };
    let each = number("FUZZ_MUTATIONS")
        .unwrap_or(MUTATIONS)
        .div_ceil(TARGETS.len());
    all_hold(|target| {
        let seeds = inputs(target);
        let mut random = Random::new(number("FUZZ_SEED").unwrap_or(1) as u64);
        let each = if COSTLY.contains(&target.name) {
            each.div_ceil(8)
        } else {
            each
        };
        (0..each).find_map(|_| failure(target, &mutated(&seeds, &mut random)))
    });
}

/// Tries every target before it tells of the failures.
fn all_hold(check: impl Fn(&Target) -> Option<String>) {
    let failures: Vec<String> = TARGETS.iter().filter_map(check).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// cargo fuzz finds every target, and nothing else.
#[test]
fn binaries() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    for Target { name, .. } in TARGETS {
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
            "Cargo.toml lacks {name}"
        );
        let binary = fs::read_to_string(root.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(
            binary.contains(&format!("targets::{name}::run")),
            "{name}.rs runs something else"
        );
    }
    assert_eq!(files(&root.join("fuzz_targets")).len(), TARGETS.len());
}

/// Seeds, and inputs that once failed.
fn inputs(target: &Target) -> Vec<Vec<u8>> {
    let regressions = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("regressions")
        .join(target.name);
    let mut inputs = (target.seeds)();
    inputs.extend(
        files(&regressions)
            .iter()
            .map(|path| fs::read(path).unwrap()),
    );
    inputs
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Runs one input. If it fails, keeps it and says how to run it again.
fn failure(target: &Target, input: &[u8]) -> Option<String> {
    let start = HEAP.with(Cell::get).live;
    HEAP.with(|heap| {
        heap.set(Heap {
            live: start,
            peak: start,
        })
    });
    let result = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let used = HEAP.with(Cell::get).peak - start;
    if result.is_ok() && used <= MEMORY {
        return None;
    }
    let (name, why) = (
        target.name,
        if result.is_ok() {
            "took too much memory"
        } else {
            "panicked"
        },
    );
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.input"));
    fs::write(&path, input).unwrap();
    Some(format!(
        "{name} {why} ({used} bytes on the heap) on {}: fix it, and put the input into fuzz/regressions/{name}/",
        path.display()
    ))
}

/// Bytes on the heap, of what this thread allocated.
#[derive(Debug, Clone, Copy)]
struct Heap {
    live: isize,
    peak: isize,
}

thread_local! {
    static HEAP: Cell<Heap> = const { Cell::new(Heap { live: 0, peak: 0 }) };
}

fn account(bytes: isize) {
    // At the end of a thread there is nothing left to count in.
    let _ = HEAP.try_with(|heap| {
        let Heap { live, peak } = heap.get();
        let live = live + bytes;
        heap.set(Heap {
            live,
            peak: peak.max(live),
        });
    });
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        account(layout.size().cast_signed());
        // SAFETY: as our caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        account(layout.size().cast_signed());
        // SAFETY: as our caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        account(-layout.size().cast_signed());
        // SAFETY: as our caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        account(size.cast_signed() - layout.size().cast_signed());
        // SAFETY: as our caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
