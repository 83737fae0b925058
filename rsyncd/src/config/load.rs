//! From files to defaults and sections: order, reopening, includes, late fallback (04-daemon 4).

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rsync_engine::options::size::SizeRule;

use super::lexer::{Kind as StatementKind, Lexer, SyntaxError};
use super::notice::{ConfigError, Notice, NoticeKind, Place, Unsupported};
use super::parameters::{self, COUNT, Id, Kind, Scope, Spec, Support, Value};
use super::source::{Files, Stamp};
use super::value::{self, Text};
use crate::limits;
use crate::text::escape;

/// What a set of parameters holds: the defaults, or one module.
#[derive(Debug, Clone)]
pub(super) struct Values {
    slots: [Slot; COUNT],
}

#[derive(Debug, Clone, Default)]
struct Slot {
    value: Option<Value>,
    /// The last value could not be read, and this parameter closes the module then; where it stood.
    malformed: Option<Place>,
    /// Where the value was set.
    place: Option<Place>,
}

impl Values {
    fn new() -> Self {
        Self {
            slots: std::array::from_fn(|_| Slot::default()),
        }
    }

    pub(super) fn bool(&self, id: Id) -> bool {
        match (
            &self.slots[id as usize].value,
            parameters::TABLE[id as usize].kind,
        ) {
            (Some(Value::Bool(on)), _) => *on,
            (_, Kind::Bool(default)) => default,
            _ => false,
        }
    }

    pub(super) fn tristate(&self, id: Id) -> Option<bool> {
        match self.slots[id as usize].value {
            Some(Value::Tristate(on)) => on,
            _ => None,
        }
    }

    pub(super) fn number(&self, id: Id) -> value::Number {
        match (
            &self.slots[id as usize].value,
            parameters::TABLE[id as usize].kind,
        ) {
            (Some(Value::Number(n)), _) => *n,
            (_, Kind::Number(default)) => default,
            _ => 0,
        }
    }

    /// Bytes, if they are set.
    pub(super) fn size(&self, id: Id) -> Option<u64> {
        match self.slots[id as usize].value {
            Some(Value::Size(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// A number that was set.
    pub(super) fn number_set(&self, id: Id) -> Option<value::Number> {
        match self.slots[id as usize].value {
            Some(Value::Number(n)) => Some(n),
            _ => None,
        }
    }

    /// Text set here, else in `defaults`, the defaults at the end of the file (04-daemon 4.5).
    pub(super) fn text(&self, id: Id, defaults: &Self) -> Option<Text> {
        [self, defaults]
            .into_iter()
            .find_map(|values| match &values.slots[id as usize].value {
                Some(Value::Text(text)) => Some(text.clone()),
                _ => None,
            })
    }

    /// Where the text of [`Self::text`] was set.
    pub(super) fn place(&self, id: Id, defaults: &Self) -> Option<Place> {
        [self, defaults]
            .into_iter()
            .find_map(|values| values.slots[id as usize].place.clone())
    }

    /// The first parameter whose value could not be read and that must not fall back to its default.
    pub(super) fn malformed(&self) -> Option<(&'static str, Place)> {
        self.slots
            .iter()
            .zip(&parameters::TABLE)
            .find_map(|(slot, spec)| slot.malformed.clone().map(|place| (spec.name, place)))
    }
}

/// One `[module]`.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) name: Vec<u8>,
    pub(super) values: Values,
}

/// Everything that was read.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) defaults: Values,
    pub(super) sections: Vec<Section>,
    pub(super) notices: Vec<Notice>,
    /// The files and directories read, to notice when one changes.
    pub(super) stamps: Vec<(PathBuf, Option<Stamp>)>,
}

/// Reads `path` and what it includes.
pub(super) fn load(path: &Path, files: &dyn Files) -> Result<Loaded, ConfigError> {
    let mut loader = Loader {
        files,
        loaded: Loaded {
            defaults: Values::new(),
            sections: Vec::new(),
            notices: Vec::new(),
            stamps: Vec::new(),
        },
        current: None,
        unsupported: Vec::new(),
    };
    loader.file(path, 0)?;
    if loader.unsupported.is_empty() {
        Ok(loader.loaded)
    } else {
        Err(ConfigError::Unsupported(loader.unsupported))
    }
}

struct Loader<'a> {
    files: &'a dyn Files,
    loaded: Loaded,
    /// The section that parameters go to; `None` is the global context.
    current: Option<usize>,
    unsupported: Vec<Unsupported>,
}

impl Loader<'_> {
    fn file(&mut self, path: &Path, depth: usize) -> Result<(), ConfigError> {
        self.loaded
            .stamps
            .push((path.to_owned(), self.files.stamp(path)));
        let bytes = self.files.read(path).map_err(|error| ConfigError::Open {
            path: path.to_owned(),
            error,
        })?;
        let file: Arc<Path> = path.into();
        let mut lexer = Lexer::new(&bytes);
        loop {
            let at = |line| Place {
                file: Arc::clone(&file),
                line,
            };
            let statement = lexer.next().map_err(|(line, error)| ConfigError::Syntax {
                place: at(line),
                error,
            })?;
            let Some(statement) = statement else {
                return Ok(());
            };
            let place = at(statement.line);
            match statement.kind {
                StatementKind::Malformed(text) => {
                    self.notice(&place, NoticeKind::NoEquals(escape(&text)));
                }
                StatementKind::Section(name) => self.section(&name, &place)?,
                StatementKind::Parameter { name, value } => self.parameter(&name, value, &place)?,
                StatementKind::Directive { word, value } => {
                    self.directive(&word, &value, &place, depth)?;
                }
            }
        }
    }

    fn notice(&mut self, place: &Place, kind: NoticeKind) {
        self.loaded.notices.push(Notice {
            place: place.clone(),
            kind,
        });
    }

    fn section(&mut self, name: &[u8], place: &Place) -> Result<(), ConfigError> {
        let syntax = |error| ConfigError::Syntax {
            place: place.clone(),
            error,
        };
        let name =
            Text::new(name)
                .expand(&value::environment)
                .map_err(|_| ConfigError::TooLong {
                    place: place.clone(),
                })?;
        if parameters::loosely_equal(&name, b"global") {
            self.current = None;
            return Ok(());
        }
        if name.contains(&b'/') {
            return Err(syntax(SyntaxError::SlashInSection(escape(&name))));
        }
        let known = self
            .loaded
            .sections
            .iter()
            .position(|s| parameters::loosely_equal(&s.name, &name));
        self.current = Some(known.unwrap_or_else(|| {
            self.loaded.sections.push(Section {
                name,
                values: self.loaded.defaults.clone(),
            });
            self.loaded.sections.len() - 1
        }));
        Ok(())
    }

    fn parameter(&mut self, name: &[u8], raw: Vec<u8>, place: &Place) -> Result<(), ConfigError> {
        let Some(spec) = parameters::find(name) else {
            let name = escape(name);
            if !name.starts_with('-') {
                self.notice(place, NoticeKind::UnknownParameter(name.clone()));
            }
            self.notice(place, NoticeKind::IgnoringUnknown(name));
            return Ok(());
        };
        if spec.scope == Scope::Global && self.current.is_some() {
            self.notice(place, NoticeKind::GlobalInModule(spec.name));
            return Ok(());
        }
        let value = self.read(spec, raw, place)?;
        match (spec.support, &value) {
            (Support::Inert(why), Some(_)) => self.notice(place, NoticeKind::Inert(spec.name, why)),
            (Support::Later, Some(value)) if !value.is_off() => {
                self.unsupported.push(Unsupported {
                    place: place.clone(),
                    name: spec.name,
                });
            }
            _ => {}
        }
        let values = match self.current {
            Some(index) => &mut self.loaded.sections[index].values,
            None => &mut self.loaded.defaults,
        };
        let slot = &mut values.slots[spec.id as usize];
        slot.malformed =
            (value.is_none() && spec.support == Support::WorksOrCloses).then(|| place.clone());
        slot.place = Some(place.clone());
        if value.is_some() {
            slot.value = value;
        }
        Ok(())
    }

    /// The value of a parameter; `None` if it cannot be read, which is noted.
    fn read(
        &mut self,
        spec: &Spec,
        raw: Vec<u8>,
        place: &Place,
    ) -> Result<Option<Value>, ConfigError> {
        let expand = |raw: Vec<u8>| {
            Text::new(raw)
                .expand(&value::environment)
                .map_err(|_| ConfigError::TooLong {
                    place: place.clone(),
                })
        };
        Ok(match spec.kind {
            Kind::Size => {
                let raw = expand(raw)?;
                let value = SizeRule::bytes(spec.name).parse(&raw).ok();
                if value.is_none() {
                    self.notice(place, NoticeKind::BadNumber(spec.name, escape(&raw)));
                }
                value.map(Value::Size)
            }
            Kind::Text => Some(Value::Text(Text::new(raw))),
            Kind::Path => Some(Value::Text(Text::new(value::trim_path(&raw)))),
            Kind::Bool(_) => {
                let raw = expand(raw)?;
                let value = value::parse_bool(&raw).map(Value::Bool);
                if value.is_none() {
                    self.notice(place, NoticeKind::BadBoolean(escape(&raw)));
                }
                value
            }
            Kind::Tristate => {
                let raw = expand(raw)?;
                let value = value::parse_tristate(&raw).map(Value::Tristate);
                if value.is_none() {
                    self.notice(place, NoticeKind::BadBoolean(escape(&raw)));
                }
                value
            }
            Kind::Number(_) => {
                let raw = expand(raw)?;
                let (number, whole) = value::parse_number(&raw);
                if spec.support == Support::Ours && (!whole || number < 0) {
                    return Err(ConfigError::Limit {
                        place: place.clone(),
                        name: spec.name,
                        value: escape(&raw),
                    });
                }
                if !whole {
                    self.notice(place, NoticeKind::BadNumber(spec.name, escape(&raw)));
                }
                let closes = !whole && spec.support == Support::WorksOrCloses;
                (!closes).then_some(Value::Number(number))
            }
        })
    }

    fn directive(
        &mut self,
        word: &[u8],
        argument: &[u8],
        place: &Place,
        depth: usize,
    ) -> Result<(), ConfigError> {
        let syntax = |error| ConfigError::Syntax {
            place: place.clone(),
            error,
        };
        let suffix: &[u8] = match word {
            b"include" => b".conf",
            b"merge" => b".inc",
            other => return Err(syntax(SyntaxError::UnknownDirective(escape(other)))),
        };
        if depth >= limits::INCLUDE_DEPTH {
            return Err(syntax(SyntaxError::IncludeDepth(escape(argument))));
        }
        let path = Path::new(std::ffi::OsStr::from_bytes(argument));
        for file in self
            .included(path, suffix)
            .map_err(|error| ConfigError::Stat {
                path: path.to_owned(),
                error,
            })?
        {
            if word == b"include" {
                let defaults = self.loaded.defaults.clone();
                self.current = None;
                self.file(&file, depth + 1)?;
                self.loaded.defaults = defaults;
            } else {
                self.file(&file, depth + 1)?;
            }
        }
        if word == b"include" {
            self.current = None;
        }
        Ok(())
    }

    /// The files that a directive means: the path itself, or the matching names of a directory, by bytes.
    fn included(&mut self, path: &Path, suffix: &[u8]) -> io::Result<Vec<PathBuf>> {
        let Some(mut names) = self.files.directory(path)? else {
            return Ok(vec![path.to_owned()]);
        };
        self.loaded
            .stamps
            .push((path.to_owned(), self.files.stamp(path)));
        names.retain(|name| name.ends_with(suffix));
        names.sort_unstable();
        Ok(names
            .into_iter()
            .map(|name| path.join(std::ffi::OsStr::from_bytes(&name)))
            .collect())
    }
}
