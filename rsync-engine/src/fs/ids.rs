//! User and group ids and their names (02-file-list 7).

mod mapper;
mod names;
mod rules;

pub use mapper::{IdMapper, IdPolicy, UnknownTarget};
pub use names::{NameService, SystemNames, own_groups};
pub use rules::{IdKind, IdRules, IdRulesError};
