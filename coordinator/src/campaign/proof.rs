//! What a campaign wants to be proven of the client: the table `client_proof`.

use super::raw::Collector;
use super::read::{Field, Section};
use super::{ClientProof, Mode, Tier};

/// The method, section 3.16.
const HEADROOM: f64 = 2.0;
const HEADROOMS: std::ops::RangeInclusive<f64> = 1.0..=10.0;

/// The table; `None` if there was any problem with it. Whoever wants a thorough measurement wants
/// a client that is proven; a run in the paper's mode does what the paper did.
pub(super) fn read_client_proof(
    field: Option<Field<'_>>,
    mode: Option<Mode>,
    tier: Option<Tier>,
    c: &mut Collector<'_>,
) -> Option<ClientProof> {
    let wanted = match (mode?, tier?) {
        (Mode::Floodmark, Tier::Thorough) => true,
        (Mode::Floodmark, Tier::Quick | Tier::Default) | (Mode::Paper, _) => false,
    };
    let Some(field) = field else {
        return Some(ClientProof { before: wanted, after: wanted, headroom: HEADROOM });
    };
    let section = Section::open(&field, &["before", "after", "headroom"], c)?;
    let mut switch = |key: &str| match section.get(key) {
        Some(field) => field.boolean(c),
        None => Some(wanted),
    };
    let (before, after) = (switch("before"), switch("after"));
    let headroom = match section.get("headroom") {
        Some(field) => field.number(HEADROOMS, c),
        None => Some(HEADROOM),
    };
    Some(ClientProof { before: before?, after: after?, headroom: headroom? })
}
