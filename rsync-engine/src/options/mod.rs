//! What a transfer is asked to do: typed options, and the two ways they are written as words.
//!
//! [`TransferOptions`] is the plain struct every role reads. [`grammar`] maps rsync's option words to it
//! (for the client's command line and for what a client sent to a server alike), [`server_args`] writes
//! and reads the argument vector between client and server (01-session 7).

pub mod grammar;
pub mod server_args;
pub mod size;
pub mod words;

mod error;

use std::time::Duration;

pub use error::{OptionError, SizeError};
pub use server_args::{
    Direction, ServerRequest, daemon_path_arg, from_server_args, to_server_args,
};

/// Every option of a transfer, in rsync's meaning. The default is a run without any option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferOptions {
    /// `-r`: descend into directories.
    pub recursive: bool,
    /// `-d`, or implied by a listing: transfer directories without their contents (06-client 1.4).
    /// Without effect while `recursive` is on.
    pub dirs: bool,
    /// `-R`: keep the path of each source argument.
    pub relative: bool,
    /// With `relative`: send the attributes of the directories above a source (default on).
    pub implied_dirs: bool,
    /// `-l`: symlinks are transferred as symlinks.
    pub links: bool,
    /// `-p`: set modes.
    pub perms: bool,
    /// `-E`: without `perms`, copy only whether a file is executable.
    pub executability: bool,
    /// `-t`: set modification times.
    pub times: bool,
    /// `-O`: but not of directories.
    pub omit_dir_times: bool,
    /// `-J`: but not of symlinks.
    pub omit_link_times: bool,
    /// `-o`: set the owner.
    pub owner: bool,
    /// `-g`: set the group.
    pub group: bool,
    /// `--devices`: transfer device nodes.
    pub devices: bool,
    /// `--specials`: transfer fifos and sockets.
    pub specials: bool,
    /// `-H`: keep hard links inside the transfer.
    pub hard_links: bool,
    /// `--numeric-ids`: do not map users and groups by name.
    pub numeric_ids: bool,
    /// `-x`: 1 = do not cross into other file systems, 2 = leave mount points out as well.
    pub one_file_system: u8,
    /// `-u`: skip regular files that are newer at the destination.
    pub update: bool,
    /// `--existing`: create nothing new.
    pub existing: bool,
    /// `--ignore-existing`: do not touch existing non-directories.
    pub ignore_existing: bool,
    /// `-I`: a file is never up to date by its time.
    pub ignore_times: bool,
    /// `--size-only`: a file is up to date if its size is equal.
    pub size_only: bool,
    /// `-c`: a file is up to date if size and whole-file checksum are equal.
    pub checksum: bool,
    /// `-@ N`: times are equal if they differ by at most N seconds; negative: compare nanoseconds too.
    /// `None` = not given, the same as 0: whole seconds.
    pub modify_window: Option<i32>,
    /// `-W` / `--no-W`: send whole files without delta, or never. `None`: whole files for local copies only.
    pub whole_file: Option<bool>,
    /// `-B`: fixed block length in bytes; `None` = by file size (03-transfer 4.2).
    pub block_size: Option<u32>,
    /// `--partial`: keep an interrupted file under its final name.
    pub partial: bool,
    /// Whether and when extraneous entries of the destination are deleted.
    pub delete: Delete,
    /// `--delete-excluded`: excluded entries are extraneous too. Parsing it turns `delete` on.
    pub delete_excluded: bool,
    /// `--delete-missing-args`: a missing source argument deletes its counterpart.
    pub delete_missing_args: bool,
    /// `--ignore-missing-args`: a missing source argument is no error. Implied by `delete_missing_args`.
    pub ignore_missing_args: bool,
    /// `--force`: a non-directory may replace a non-empty directory (any `delete` allows it as well).
    pub force: bool,
    /// `--max-delete`: at most this many deletions; 0 = none. `None` = no limit.
    pub max_delete: Option<u64>,
    /// `--ignore-errors`: delete in spite of I/O errors of the sender.
    pub ignore_errors: bool,
    /// `-n`: change nothing.
    pub dry_run: bool,
    /// Only list the sources; nothing is changed.
    pub list_only: ListOnly,
    /// Allow incremental recursion (default on). It still needs `recursive` and the peer's consent.
    pub inc_recursive: bool,
    /// `-C`: leave out what CVS would (07-filters 9).
    pub cvs_exclude: bool,
    /// `--remove-source-files`: the receiver confirms each file (MSG_SUCCESS). The watcher uses these
    /// acknowledgements without removing anything.
    pub remove_source_files: bool,
    /// `--checksum-seed`: fixed seed; `None` = chosen by the server.
    pub checksum_seed: Option<i32>,
    /// `--checksum-choice`: forced algorithms; `None` = negotiated.
    pub checksum_choice: Option<ChecksumChoice>,
    /// `--protocol`: use at most this version.
    pub protocol: Option<u32>,
    /// `--timeout`: end the session after this long without data; `None` = never.
    pub timeout: Option<Duration>,
    /// `--bwlimit` in bytes a second, a multiple of 1024; `None` = no limit.
    pub bwlimit: Option<u64>,
    /// `--max-size` in bytes: bigger regular files are not transferred.
    pub max_size: Option<u64>,
    /// `--min-size` in bytes: smaller regular files are not transferred.
    pub min_size: Option<u64>,
    /// How often `-v` was given.
    pub verbose: u8,
    /// How often `-i` was given; on a server what `--log-format` said: 1 = `%i`, 2 = `%i%I`.
    /// From 2 on unchanged entries are reported too.
    pub itemize: u8,
    /// `--stats`: print the statistics block.
    pub stats: bool,
    /// `--progress`: print progress of each file.
    pub progress: bool,
    /// The text for the server's `--log-format` where it does not follow from `itemize` and `progress`
    /// (client), or what the server was told (server): `%i`, `%i%I`, `%o` or `X` (01-session 7.6).
    /// Not `None` on a receiving server: report entries of which only attributes change.
    pub log_format: Option<Vec<u8>>,
    /// `-q`: no informational output.
    pub quiet: bool,
    /// The filter options in command-line order, unparsed. A server gets its rules in-band instead.
    pub filter_texts: Vec<FilterText>,
}

impl TransferOptions {
    /// The options of `rsync -a`: `-rlptgoD`.
    pub fn archive() -> Self {
        let mut options = Self::default();
        options.set_archive();
        options
    }

    /// Turns `-rlptgoD` on and leaves the rest as it is.
    pub fn set_archive(&mut self) {
        self.recursive = true;
        self.links = true;
        self.perms = true;
        self.times = true;
        self.group = true;
        self.owner = true;
        self.devices = true;
        self.specials = true;
    }

    /// Whether directories are transferred at all, with or without their contents.
    pub fn sends_dirs(&self) -> bool {
        self.recursive || self.dirs
    }

    /// Whether a receiver with these options says that it made the destination directory (06-client 1.5).
    pub(crate) fn tells_made_directory(&self) -> bool {
        self.verbose > 0 || self.itemize > 0 || (self.progress && self.log_format.is_none())
    }

    /// The contradictions that can only be seen when all options are known.
    ///
    /// # Errors
    /// [`OptionError::DeleteNeedsDirs`] if something is to be deleted but no directory is transferred.
    pub fn check(&self) -> Result<(), OptionError> {
        if self.delete != Delete::Off && !self.sends_dirs() {
            return Err(OptionError::DeleteNeedsDirs);
        }
        Ok(())
    }

    /// Tests the choice of checksums. A server does that when the set-up is done: before, the client could not be told.
    ///
    /// # Errors
    /// [`OptionError::NoListChecksum`].
    pub fn check_checksums(&self) -> Result<(), OptionError> {
        let choice = self.checksum_choice.as_ref();
        if self.checksum && choice.is_some_and(|choice| choice.list == "none") {
            return Err(OptionError::NoListChecksum);
        }
        Ok(())
    }
}

impl Default for TransferOptions {
    fn default() -> Self {
        Self {
            recursive: false,
            dirs: false,
            relative: false,
            implied_dirs: true,
            links: false,
            perms: false,
            executability: false,
            times: false,
            omit_dir_times: false,
            omit_link_times: false,
            owner: false,
            group: false,
            devices: false,
            specials: false,
            hard_links: false,
            numeric_ids: false,
            one_file_system: 0,
            update: false,
            existing: false,
            ignore_existing: false,
            ignore_times: false,
            size_only: false,
            checksum: false,
            modify_window: None,
            whole_file: None,
            block_size: None,
            partial: false,
            delete: Delete::Off,
            delete_excluded: false,
            delete_missing_args: false,
            ignore_missing_args: false,
            force: false,
            max_delete: None,
            ignore_errors: false,
            dry_run: false,
            list_only: ListOnly::Off,
            inc_recursive: true,
            cvs_exclude: false,
            remove_source_files: false,
            checksum_seed: None,
            checksum_choice: None,
            protocol: None,
            timeout: None,
            bwlimit: None,
            max_size: None,
            min_size: None,
            verbose: 0,
            itemize: 0,
            stats: false,
            progress: false,
            log_format: None,
            quiet: false,
            filter_texts: Vec::new(),
        }
    }
}

/// When extraneous entries are deleted (06-client 2.2, "Deleting").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Delete {
    /// Nothing is deleted.
    #[default]
    Off,
    /// `--delete`: [`Delete::During`] from protocol 30 on, [`Delete::Before`] below.
    Default,
    /// `--delete-before`: all deletions before the first file moves.
    Before,
    /// `--delete-during`: each directory when it is entered.
    During,
    /// `--delete-delay`: found while entering, done at the end.
    Delay,
    /// `--delete-after`: a pass of its own at the end.
    After,
}

impl Delete {
    /// The moment that [`Delete::Default`] stands for under the negotiated protocol.
    pub fn resolved(self, protocol: u32) -> Self {
        match self {
            Self::Default if protocol >= 30 => Self::During,
            Self::Default => Self::Before,
            when => when,
        }
    }

    /// Adds an option to those given before: plain `--delete` never overrides a moment, during and delay
    /// override each other.
    ///
    /// # Errors
    /// [`OptionError::DeleteWhen`] for any other pair of moments.
    pub(crate) fn and(self, later: Self) -> Result<Self, OptionError> {
        match (self, later) {
            (Self::Off | Self::Default, later) => Ok(later),
            (when, Self::Default) => Ok(when),
            (Self::During | Self::Delay, Self::During | Self::Delay) => Ok(later),
            (when, later) if when == later => Ok(when),
            _ => Err(OptionError::DeleteWhen),
        }
    }
}

/// Whether a run only lists its sources (06-client 1.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ListOnly {
    /// A real transfer.
    #[default]
    Off,
    /// There is no destination. The server is not told: it only sees that it shall send directories.
    Implied,
    /// `--list-only` was given. The server is told.
    Requested,
}

impl ListOnly {
    /// Whether the run only lists.
    pub fn is_on(self) -> bool {
        self != Self::Off
    }
}

/// The algorithms forced by `--checksum-choice`. Names are the canonical ones of
/// [`ChecksumChoice::NAMES`]; either may be `auto`, but not both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChecksumChoice {
    /// For the block and whole-file sums of the transfer. `none` means whole files, unverified.
    pub transfer: String,
    /// For the sums of `--checksum` in the file list.
    pub list: String,
}

impl ChecksumChoice {
    /// The names rsync 3.5.0 knows (06-client 2.2, `--checksum-choice`).
    pub const NAMES: [&str; 9] = [
        "auto", "xxh128", "xxh3", "xxh64", "xxhash", "md5", "md4", "sha1", "none",
    ];

    /// Reads `A` or `A,B`. `None`: both are left to the negotiation.
    ///
    /// # Errors
    /// [`OptionError::UnknownChecksum`] names the word that is no algorithm.
    pub fn parse(text: &[u8]) -> Result<Option<Self>, OptionError> {
        let known = |name: &[u8]| {
            Self::NAMES
                .iter()
                .find(|known| known.as_bytes().eq_ignore_ascii_case(name))
                .map(|known| (*known).to_owned())
                .ok_or_else(|| OptionError::UnknownChecksum {
                    name: error::text(name),
                })
        };
        let mut parts = text.splitn(2, |&byte| byte == b',');
        let transfer = known(parts.next().unwrap_or_default())?;
        let list = parts.next().map_or_else(|| Ok(transfer.clone()), known)?;
        let choice = Self { transfer, list };
        Ok((choice.transfer != "auto" || choice.list != "auto").then_some(choice))
    }

    /// The option value for the server: one name, or two with a comma.
    pub fn to_arg(&self) -> String {
        if self.transfer == self.list {
            self.transfer.clone()
        } else {
            format!("{},{}", self.transfer, self.list)
        }
    }
}

/// One filter option as it was written (07-filters 2). Paths and patterns are bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FilterText {
    /// `--filter=RULE`, `-f RULE`.
    Rule(Vec<u8>),
    /// The first `-F`: the rules of the files `.rsync-filter`, in each directory and in those above.
    RsyncFilter,
    /// The second `-F`: those files themselves are left out.
    NoRsyncFilter,
    /// `--exclude=PATTERN`.
    Exclude(Vec<u8>),
    /// `--include=PATTERN`.
    Include(Vec<u8>),
    /// `--exclude-from=FILE`; `-` is standard input.
    ExcludeFrom(Vec<u8>),
    /// `--include-from=FILE`; `-` is standard input.
    IncludeFrom(Vec<u8>),
}
