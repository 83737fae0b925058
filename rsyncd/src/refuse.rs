//! `refuse options` (04-daemon 14).
/// Placeholder.
#[derive(Debug)]
pub struct Refusals;
impl Refusals {
    pub(crate) fn new(_: &[u8], _: bool) -> Self { Self }
    pub(crate) fn unmatched(&self) -> std::iter::Empty<&[u8]> { std::iter::empty() }
}
