//! Properties over rules and junk.

use proptest::prelude::*;
use rsync_proto::Protocol;

use crate::filter::{
    Chain, CvsSources, Descent, ModuleParameters, Place, RequestedNames, Role, RuleList,
    RuleSettings, SentRules, clamp_name, module_rules,
};
use crate::options::FilterText;

/// Rules in the form they are sent, and some that are not.
fn rule_text() -> impl Strategy<Value = Vec<u8>> {
    let op = prop::sample::select(vec![
        "-",
        "+",
        ":",
        ".",
        "!",
        "H",
        "exclude",
        "dir-merge",
        "q",
    ]);
    let letters = prop::collection::vec(prop::sample::select(b"/!Cnw-+exsrp,".to_vec()), 0..4);
    let pattern = prop::collection::vec(prop::sample::select(b"ab/*?[]\\ _\n\x80".to_vec()), 0..6);
    (op, letters, pattern)
        .prop_map(|(op, letters, pattern)| [op.as_bytes(), &letters, b" ", &pattern].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_is_sent_is_understood(text in rule_text()) {
        let mut read = |_: &[u8]| Ok(Vec::new());
        let texts = [FilterText::Rule(text)];
        if let Ok(list) = RuleList::from_options(&texts, RuleSettings::default(), &mut read) {
            for role in [Role::Sender, Role::Receiver] {
                let sent = list.wire_rules(Protocol::V32, role).unwrap();
                let again = RuleList::from_wire(&sent, RuleSettings::default()).unwrap();
                prop_assert_eq!(again.wire_rules(Protocol::V32, role).unwrap(), sent);
            }
        }
    }

    #[test]
    fn nothing_panics(
        rules in prop::collection::vec(rule_text(), 0..4),
        junk in prop::collection::vec(any::<u8>(), 0..60),
        name in prop::collection::vec(prop::sample::select(b"ab/.*".to_vec()), 0..8),
    ) {
        let _ = module_rules(
            &ModuleParameters { filter: &junk, include: &junk, exclude: &junk, ..Default::default() },
            CvsSources::default(),
            Protocol::MAX,
            &mut |_| Ok(Vec::new()),
        );
        let _ = clamp_name(&junk);
        let mut names = RequestedNames::new(true, Descent::All);
        names.add_argument(&junk, true);
        let _ = names.check(&name, true);
        let merged = rules.join(&b'\n');
        let texts = [FilterText::Rule(b": .f".to_vec()), FilterText::Exclude(junk.clone())];
        let Ok(list) = RuleList::from_options(&texts, RuleSettings::default(), &mut |_| Ok(junk.clone())) else {
            return Ok(());
        };
        let _ = SentRules::new(&list).reject(&name, false);
        let mut chain = Chain::new(&list, Role::Receiver);
        chain.set_root(&junk);
        let mut read = |_: Place<'_>, file: &[u8]| Ok((file != b"b").then(|| merged.clone()));
        for dir in [&b""[..], b"a", b"a/b", b"b"] {
            let _ = chain.enter_dir(dir, &mut read);
            let _ = chain.check(&name, true);
            let _ = chain.check_removing(&name, false);
            let _ = chain.check_xattr(&name);
            let _ = chain.excludes_path(&name, false);
        }
    }
}
