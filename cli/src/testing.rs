//! Reads the captured text samples of testkit/vectors/cli (its README describes the form).

/// One captured run.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    /// The command line as it stands there.
    pub(crate) command: &'a str,
    /// Its words after `rsync`.
    pub(crate) words: Vec<Vec<u8>>,
    /// Lines of standard output.
    pub(crate) stdout: Vec<&'a str>,
    /// Lines of standard error.
    pub(crate) stderr: Vec<&'a str>,
    /// The exit code.
    pub(crate) exit: i32,
}

/// The runs of a sample file, in order.
pub(crate) fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut section = "";
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ rsync ") {
            let words = shell_words(command);
            blocks.push(Block {
                command,
                words,
                stdout: Vec::new(),
                stderr: Vec::new(),
                exit: 0,
            });
            section = "command";
            continue;
        }
        if line.starts_with("$ ") || line.starts_with("## ") {
            section = "";
        }
        let Some(block) = blocks.last_mut() else {
            continue;
        };
        match (line, section) {
            (_, "") => {}
            ("[stdout]", _) => section = "stdout",
            ("[stderr]", _) => section = "stderr",
            (exit, _) if exit.starts_with("[exit ") => {
                block.exit = exit[6..].trim_end_matches(']').parse().unwrap();
                section = "";
            }
            (line, "stdout") => block.stdout.push(line),
            (line, "stderr") => block.stderr.push(line),
            _ => {}
        }
    }
    blocks
}

/// Words of a command line with single quotes.
fn shell_words(command: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for character in command.chars() {
        match character {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            character => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words.into_iter().map(String::into_bytes).collect()
}
