//! Just enough of the command line for the captured cases.

use std::io;

use rsync_proto::Protocol;

use crate::filter::{CvsSources, FilterError, ReadRules, Role, RuleList, RuleSettings};
use crate::options::FilterText;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delete {
    During,
    After,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Command {
    pub(super) texts: Vec<FilterText>,
    pub(super) settings: RuleSettings,
    pub(super) recursive: bool,
    pub(super) dirs: bool,
    pub(super) relative: bool,
    pub(super) copy_links: bool,
    pub(super) prune: bool,
    pub(super) cvs: bool,
    pub(super) delete: Option<Delete>,
    pub(super) files_from: Option<String>,
    pub(super) backup: bool,
    old_dirs: bool,
    partial_dir: Option<String>,
}

impl Command {
    /// `None` if an option has nothing to do with filters.
    pub(super) fn parse<S: AsRef<str>>(args: &[S]) -> Option<Self> {
        let mut command = Self::default();
        let (mut per_dir_filters, mut no_relative) = (0, false);
        for arg in args {
            let arg = arg.as_ref();
            let (name, value) = arg.split_once('=').unwrap_or((arg, ""));
            let bytes = value.as_bytes().to_vec();
            match name {
                "--exclude" => command.texts.push(FilterText::Exclude(bytes)),
                "--include" => command.texts.push(FilterText::Include(bytes)),
                "--exclude-from" => command.texts.push(FilterText::ExcludeFrom(bytes)),
                "--include-from" => command.texts.push(FilterText::IncludeFrom(bytes)),
                "--delete" | "--del" | "--delete-before" => command.delete = Some(Delete::During),
                "--delete-after" => command.delete = Some(Delete::After),
                "--delete-excluded" => {
                    command.delete = Some(Delete::During);
                    command.settings.delete_excluded = true;
                }
                "--from0" => command.settings.from0 = true,
                "--files-from" => command.files_from = Some(value.to_owned()),
                "--no-R" => no_relative = true,
                "--old-dirs" => command.old_dirs = true,
                "--partial-dir" => command.partial_dir = Some(value.to_owned()),
                _ if arg.starts_with("-f") => command
                    .texts
                    .push(FilterText::Rule(arg.as_bytes()[2..].to_vec())),
                _ if arg.starts_with('-') && !arg.starts_with("--") => {
                    for letter in arg[1..].chars() {
                        match letter {
                            'r' => command.recursive = true,
                            'd' => command.dirs = true,
                            'R' => command.relative = true,
                            'L' => command.copy_links = true,
                            'm' => command.prune = true,
                            'C' => command.cvs = true,
                            'b' => command.backup = true,
                            'l' => {}
                            'F' => {
                                let texts: [&[u8]; 2] = [b": /.rsync-filter", b"- .rsync-filter"];
                                command
                                    .texts
                                    .push(FilterText::Rule(texts[per_dir_filters].to_vec()));
                                per_dir_filters += 1;
                            }
                            _ => return None,
                        }
                    }
                }
                _ => return None,
            }
        }
        command.relative |= command.files_from.is_some() && !no_relative;
        command.dirs |= command.files_from.is_some() || command.old_dirs;
        Some(command)
    }

    /// The client's list.
    pub(super) fn list(
        &self,
        protocol: Protocol,
        role: Role,
        read: &mut ReadRules<'_>,
    ) -> Result<RuleList, FilterError> {
        let mut list = RuleList::from_options(&self.texts, self.settings.clone(), read)?;
        if self.old_dirs {
            list.add_old_dirs()?;
        }
        if self.backup && self.delete.is_some() && !self.settings.delete_excluded {
            list.add_backup_suffix(b"~")?;
        }
        if let Some(dir) = &self.partial_dir {
            list.add_partial_dir(dir.as_bytes(), protocol, role)?;
        }
        if self.cvs {
            list.add_cvs_exclude(protocol, role)?;
        }
        Ok(list)
    }

    /// The server's list, from what a client in `role` sends it.
    pub(super) fn server_list(
        &self,
        client: &RuleList,
        protocol: Protocol,
        role: Role,
    ) -> RuleList {
        let cvs = CvsSources::default();
        let settings = RuleSettings {
            delete_excluded: self.settings.delete_excluded,
            from0: false,
            cvs,
        };
        let wanted = role == Role::Receiver || self.prune || self.delete.is_some();
        let sent = if wanted {
            client.wire_rules(protocol, role).unwrap()
        } else {
            Vec::new()
        };
        let mut list = RuleList::from_wire(&sent, settings).unwrap();
        if self.cvs && role == Role::Receiver {
            list.add_cvs_exclude(protocol, Role::Sender).unwrap();
        }
        list
    }

    /// A reader over named contents.
    pub(super) fn reader(
        find: impl Fn(&[u8]) -> Option<Vec<u8>>,
    ) -> impl FnMut(&[u8]) -> io::Result<Vec<u8>> {
        move |name| find(name).ok_or_else(|| io::Error::from_raw_os_error(2))
    }
}
