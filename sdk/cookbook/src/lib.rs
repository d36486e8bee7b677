//! Recipes for services as they are, each an action in a file of its own; `README.md` explains them.

mod batch;
mod callback;
mod no_keys;
mod oauth;
mod pagination;
mod polling;
mod upload;

use batch::RunBatch;
use callback::Build;
use no_keys::OpenTicket;
use oauth::ReadBalance;
use pagination::{ListByCursor, ListByLink};
use polling::WaitForExport;
use upload::Upload;

windlass_sdk::plugin! {
    name: "cookbook",
    description: "Recipes: polling, callbacks, uploads, pages, OAuth2, doing things once, batch jobs.",
    actions: [
        WaitForExport,
        Build,
        Upload,
        ListByCursor,
        ListByLink,
        ReadBalance,
        OpenTicket: find,
        RunBatch: cancel + rollback + find,
    ],
}
