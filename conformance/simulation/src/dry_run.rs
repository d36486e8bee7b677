//! What becomes of calls in a dry run: nothing happens, and what comes back may be anything.

use serde_json::json;
use windlass_engine::{CallResult, DryOrder};
use windlass_model::dry_run::{DryRun, Origin, Would};

use crate::dice::Dice;
use crate::world::Fate;

impl Fate {
    /// As the host makes it: what would have an effect has none, what would wait is ended.
    pub(crate) fn stopped(mut self, dice: &mut Dice, order: &DryOrder) -> Self {
        self.effect_after = None;
        self.comes_to_nothing = false;
        let output = match (&self.answer, order.unknown.is_some()) {
            (Err(_), false) => return self,
            // What only reads gives what is there.
            (Ok(CallResult::Done(_)), false) if dice.permille(300) => return self,
            (Ok(CallResult::Done(output)), _) if dice.permille(600) => output.clone(),
            _ => [json!(null), json!({}), json!({"id": "made up", "number": "none", "ok": true, "list": [1]})]
                [dice.below(3) as usize]
                .clone(),
        };
        let would = vec![Would { what: "POST https://world.invalid/".to_owned(), body: String::new(), body_bytes: 0 }];
        let dry_run = DryRun { would, omitted: 0, origin: Origin::Schema, note: order.unknown.clone() };
        self.answer = Ok(CallResult::WouldDo { output, dry_run: Box::new(dry_run) });
        self
    }
}
