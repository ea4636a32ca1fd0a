//! The comparisons of a run that is an ablation: of the base with itself, and of the two
//! configurations with each other.

use super::{
    ALPHA, Comparison, Conclusion, LevelComparison, MetricComparison, Options, Side, Sides, compare,
};
use crate::campaign::Ablation;
use crate::plan::Arm;
use crate::record::RunRecord;
use crate::report::LevelReport;

/// An ablation, as far as it was run.
#[derive(Clone, Debug, PartialEq)]
pub struct Ablated {
    /// The names of the configurations.
    pub names: Sides<String>,
    /// Starts of each configuration that were planned.
    pub restarts: u32,
    /// The base with itself; `None` if that was not asked for or not begun.
    pub aa: Option<Comparison>,
    /// Whether it was asked for.
    pub aa_wanted: bool,
    /// The two configurations; `None` if that was not begun.
    pub comparison: Option<Comparison>,
}

impl Ablated {
    /// That of a run, of whose levels these are the reports.
    pub fn of(record: &RunRecord, levels: &[LevelReport], plan: &Ablation) -> Self {
        Self::with(record, levels, plan, &Options::default())
    }

    /// The same, compared in another way.
    pub fn with(
        record: &RunRecord,
        levels: &[LevelReport],
        plan: &Ablation,
        options: &Options,
    ) -> Self {
        let names = Sides { base: plan.base.to_string(), new: plan.new.to_string() };
        let side = |arm: Arm| {
            let name = if arm.is_new_configuration() { &names.new } else { &names.base };
            Side::of_arm(arm, name.clone(), record, levels)
        };
        let of = |base: Arm, new: Arm| {
            Some(compare(&Sides { base: side(base)?, new: side(new)? }, options))
        };
        Self {
            restarts: plan.restarts,
            aa: of(Arm::AaBase, Arm::AaNew),
            aa_wanted: plan.aa_restarts > 0,
            comparison: of(Arm::Base, Arm::New),
            names,
        }
    }

    /// Where the base differs from itself by more than chance explains: 5 % is the chance of one
    /// such number or more over all levels and all metrics that decide (Bonferroni over metrics,
    /// Holm over levels).
    pub fn differs_from_itself(&self) -> Vec<(&LevelComparison, &MetricComparison)> {
        let Some(aa) = &self.aa else {
            return Vec::new();
        };
        let limit = ALPHA / aa.options.deciding.len().max(1) as f64;
        let differs = |metric: &MetricComparison| match metric.conclusion {
            Conclusion::Worse | Conclusion::Better => {
                metric.test.is_some_and(|test| test.p_holm <= limit)
            }
            Conclusion::Equivalent
            | Conclusion::NoDifferenceShown
            | Conclusion::OneRun { .. }
            | Conclusion::NotComparable(_) => false,
        };
        aa.deciding().filter(|(_, metric)| differs(metric)).collect()
    }
}
