//! The rules of `--cvs-exclude` and of `C` (07-filters 9).

use super::parse::{Parsed, Template};
use super::records::{Split, records};
use super::rule::{CvsMark, Origin, Rule};

const DEFAULT_LIST: &[u8] = b"RCS SCCS CVS CVS.adm RCSLOG cvslog.* tags TAGS .make.state .nse_depinfo *~ #* .#* ,* \
    _$* *$ *.old *.bak *.BAK *.orig *.rej .del-* *.a *.olb *.o *.obj *.so *.exe *.Z *.elc *.ln core \
    .svn/ .git/ .hg/ .bzr/";

/// What the process that evaluates a CVS list finds around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CvsSources {
    /// Content of `$HOME/.cvsignore`.
    pub home: Option<Vec<u8>>,
    /// Value of `CVSIGNORE`.
    pub environment: Option<Vec<u8>>,
}

impl CvsSources {
    /// The rules that a `-C` stands for. A lone `!` clears those before it; an over-long pattern is left out.
    pub(super) fn rules(&self, mark: &CvsMark) -> Vec<Rule> {
        let parts = [
            (
                Some(DEFAULT_LIST),
                mark.perishable || mark.default_perishable,
            ),
            (self.home.as_deref(), mark.perishable),
            (self.environment.as_deref(), mark.perishable),
            (Some(&*mark.words), mark.perishable),
        ];
        let mut rules = Vec::new();
        for (words, perishable) in parts {
            let template = Template {
                absolute: mark.absolute,
                perishable,
                sides: mark.sides,
            };
            for (_, word) in records(words.unwrap_or_default(), Split::Words) {
                if word == b"!" {
                    rules.clear();
                } else if let Ok(Parsed::Rule(rule)) = template.pattern(mark.include, word) {
                    rules.push(Rule {
                        negate: mark.negate,
                        xattr: mark.xattr,
                        origin: Origin::Cvs,
                        ..rule
                    });
                }
            }
        }
        rules
    }
}
