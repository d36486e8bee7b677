//! Flaws of actions that write.

use windlass_sdk::{Answer, Context, Failure};

use crate::{Entry, Input, Output, action};

// It says that it reads.
action! { WritesInARead "writes-in-a-read" Read Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        crate::entered(ctx)?;
        Ok(Output::done("entered"))
    }
}

fn blind(ctx: &Context) -> Result<(), Failure> {
    let _: Entry = ctx.http("ledger")?.post("/entries").send()?.json()?;
    Ok(())
}

// Nothing tells the ledger that it is the same entry.
action! { PostsTwice "posts-twice" IdempotentWrite Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        ctx.http("ledger")?.get("/title").send()?.text()?;
        blind(ctx)?;
        Ok(Output::done("entered"))
    }
}

// The same with its first request.
action! { PostsTwiceAtOnce "posts-twice-at-once" IdempotentWrite Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        blind(ctx)?;
        Ok(Output::done("entered"))
    }
}

// More than a recording holds.
action! { SendsTooMuch "sends-too-much" IdempotentWrite Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        let much = vec![b'x'; 5 * 1024 * 1024];
        let entry = ctx.http("ledger")?.post("/entries").idempotency_key().body("text/plain", much);
        let _: Entry = entry.send()?.json()?;
        Ok(Output::done("entered"))
    }
}

action! { GivesUp "gives-up" IdempotentWrite Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        match crate::entered(ctx) {
            Ok(_) => Ok(Output::done("entered")),
            Err(failure) if failure.code == "http-429" => Err(failure.never()),
            Err(failure) => Err(failure),
        }
    }
}

action! { TriesForEver "tries-for-ever" IdempotentWrite Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        match crate::entered(ctx) {
            Ok(_) => Ok(Output::done("entered")),
            Err(failure) if failure.code == "http-403" => Err(Failure::transient("later", failure.message)),
            Err(failure) => Err(failure),
        }
    }
}

// The host takes a GET for a read.
action! { WritesByGet "writes-by-get" IdempotentWrite Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        let _: Entry = ctx.http("ledger")?.get("/enter").idempotency_key().send()?.json()?;
        Ok(Output::done("entered"))
    }
}

// A person is to look at what nobody has to look at.
action! { AsksAPerson "asks-a-person" IdempotentWrite Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        match crate::entered(ctx) {
            Ok(_) => Ok(Output::done("entered")),
            Err(failure) if failure.code.starts_with("http-") => Err(failure),
            Err(failure) => Err(failure.pause()),
        }
    }
}

// Another attempt says something else.
action! { SaysWhichAttempt "says-which-attempt" IdempotentWrite Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        ctx.http("ledger")?.get("/title").send()?.text()?;
        crate::entered(ctx)?;
        Ok(Output::done(if ctx.attempt() == 1 { "at once" } else { "later" }))
    }
}

// It waits until the page has gone.
action! { StandsStillAtHtml "stands-still-at-html" Read Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        let title = ctx.http("ledger")?.get("/title").send()?.text()?;
        while title.starts_with('<') {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        Ok(Output::done(title))
    }
}

action! { PanicsAtHtml "panics-at-html" Read Output, ();
    fn start(ctx: &Context, _: Input) -> Answer<Self> {
        let title = ctx.http("ledger")?.get("/title").send()?.text()?;
        assert!(!title.starts_with('<'), "a title is no page");
        Ok(Output::done(title))
    }
}
