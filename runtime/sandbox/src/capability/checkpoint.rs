//! What a step remembers across its calls, and the addresses that wake it.

use wasmtime::component::Resource;
use windlass_bindings::windlass::plugin::{callbacks, checkpoint};
use windlass_model::failure::{FailureClass, StepError};

use crate::cassette::{Content, Exchanged};
use crate::state::CallState;
use crate::stop::broken;

/// The most a checkpoint's answer may hold.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// The longest name of a part.
const NAME_BYTES_MAX: usize = 256;

/// Slots at once.
const SLOTS_MAX: usize = 256;

/// Parts that one call may finish, and their bytes; each is an entry of the journal.
const CHECKPOINTS_MAX: usize = 1000;
const CHECKPOINT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A part that has begun.
struct Part {
    name: String,
}

fn part(slot: &Resource<checkpoint::Slot>) -> Resource<Part> {
    Resource::new_own(slot.rep())
}

impl checkpoint::Host for CallState {
    async fn begin(&mut self, name: String) -> wasmtime::Result<checkpoint::Begun> {
        self.shared.target("checkpoint.begin")?;
        if name.len() > NAME_BYTES_MAX {
            let message = format!("the name of a checkpoint is longer than {NAME_BYTES_MAX} bytes");
            return Err(self.shared.stop(broken("checkpoint-refused", message)).into());
        }
        if let Some(value) = self.finished.get(&name).cloned() {
            return Ok(checkpoint::Begun::Recorded(value));
        }
        if let Some(value) = self.shared.host.checkpoint(&name) {
            if let Some(recorder) = self.shared.recorder() {
                recorder.other(Exchanged::Known { checkpoint: name, value: Content::of(&value) });
            }
            return Ok(checkpoint::Begun::Recorded(value));
        }
        if self.table.iter_mut().filter(|it| it.is::<Part>()).count() >= SLOTS_MAX {
            let message = format!("more than {SLOTS_MAX} checkpoints have begun and are not finished");
            return Err(self.shared.stop(broken("checkpoint-refused", message)).into());
        }
        let slot = self.table.push(Part { name })?;
        Ok(checkpoint::Begun::Fresh(Resource::new_own(slot.rep())))
    }
}

impl checkpoint::HostSlot for CallState {
    async fn finish(&mut self, this: Resource<checkpoint::Slot>, value: Vec<u8>) -> wasmtime::Result<()> {
        let Part { name } = self.table.delete(part(&this))?;
        if value.len() > VALUE_BYTES_MAX {
            let message = format!("the answer of checkpoint `{name}` is larger than {VALUE_BYTES_MAX} bytes");
            return Err(self.shared.stop(broken("checkpoint-refused", message)).into());
        }
        if self.shared.scrubber().finds(&value) {
            let message = format!("the answer of checkpoint `{name}` holds a credential, which must not be kept");
            return Err(self.shared.stop(broken("credential-in-checkpoint", message)).into());
        }
        // A part can have begun twice before it was finished; what was recorded first is what happened.
        if self.finished.contains_key(&name) {
            let message = format!("checkpoint `{name}` was finished before");
            return Err(self.shared.stop(broken("checkpoint-refused", message)).into());
        }
        let bytes: usize = self.finished.values().map(Vec::len).sum::<usize>() + value.len();
        if self.finished.len() >= CHECKPOINTS_MAX || bytes > CHECKPOINT_BYTES_MAX {
            let message = format!(
                "the plugin finished more than {CHECKPOINTS_MAX} checkpoints, or {CHECKPOINT_BYTES_MAX} bytes of them, in one call"
            );
            return Err(self.shared.stop(broken("checkpoints-limit", message)).into());
        }
        self.finished.insert(name.clone(), value.clone());
        if let Some(recorder) = self.shared.recorder() {
            recorder.other(Exchanged::Checkpoint { checkpoint: name.clone(), value: Content::of(&value) });
        }
        self.shared.host.record_checkpoint(name, value).await.map_err(|why| {
            let message = format!("a checkpoint could not be recorded: {why}");
            self.shared.stop(StepError::host(FailureClass::Transient, "checkpoint-not-recorded", message)).into()
        })
    }

    async fn drop(&mut self, slot: Resource<checkpoint::Slot>) -> wasmtime::Result<()> {
        self.table.delete(part(&slot))?;
        Ok(())
    }
}

/// Callbacks that one call may make.
const CALLBACKS_MAX: u32 = 64;

impl callbacks::Host for CallState {
    async fn create(&mut self) -> wasmtime::Result<callbacks::Callback> {
        self.shared.target("callbacks.create")?;
        self.callbacks += 1;
        if self.callbacks > CALLBACKS_MAX {
            let message = format!("the plugin made more than {CALLBACKS_MAX} callbacks in one call");
            return Err(self.shared.stop(broken("callbacks-limit", message)).into());
        }
        match self.shared.host.create_callback().await {
            Ok(callback) => {
                if let Some(recorder) = self.shared.recorder() {
                    let hide = |text: &String| self.shared.host.hide(text.clone());
                    let url = callback.url.as_ref().map(hide);
                    recorder.other(Exchanged::Callback { topic: hide(&callback.topic), url });
                }
                Ok(callbacks::Callback { topic: callback.topic, url: callback.url })
            }
            Err(why) => {
                let message = format!("a callback could not be made: {why}");
                Err(self.shared.stop(StepError::host(FailureClass::Transient, "callback-not-made", message)).into())
            }
        }
    }
}
