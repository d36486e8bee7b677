//! How releases end: what runs last, deadlines, delays, points of no return, by the command.

use crate::support::{Service, Site};

const WORKFLOW: &str = r"windlass: v1
workflow: ending
phases: [{ name: only, deadline: { within: 1d, then: pause } }]
steps:
  deploy:
    phase: only
    uses: http/get@^0.1
    connection: service
    with: { path: /deploy }
    retry: { attempts: 1 }
    on_failure: fail
  contract:
    phase: only
    needs: [deploy]
    uses: http/get@^0.1
    connection: service
    with: { path: /contract }
    pivot: true
    delay: 500ms
  watch:
    phase: only
    needs: [contract]
    uses: http/get@^0.1
    connection: service
    with: { path: /watch }
    delay: 1h
finally:
  tell:
    uses: http/get@^0.1
    connection: service
    with: { path: '/tell/${{ release.outcome }}' }
    retry: { attempts: 1 }
";

#[test]
fn what_runs_last_runs_when_all_is_over_and_past_the_pivot_there_is_only_forward() {
    let service = Service::start();
    let site = Site::new();
    site.write("ending.yaml", WORKFLOW);
    site.good(&["connection", "add", "service", "--url", &service.url, "--private-network"]);
    let mut serve = site.serve();

    // It fails, and who is told is not there either: the release is finishing, and waits for somebody.
    site.good(&["run", "ending.yaml", "--detach"]);
    let view = site.until("ending-1", "nobody can be told", |it| it.state == "paused");
    let tell = view.steps.iter().find(|it| it.name == "tell").expect("a step");
    assert_eq!((tell.state.as_str(), view.ended), ("paused", false), "{view:#?}");
    serve.kill_9();
    let _serve = site.serve();
    service.answers("/tell/failed", 200, "");
    site.good(&["release", "retry", "ending-1", "--step", "tell", "--reason", "the chat is back"]);
    assert_eq!(site.ended("ending-1").state, "failed");

    // It goes on where it failed, past its point of no return, and then there is no way back.
    for path in ["/deploy", "/contract", "/watch", "/tell/canceled"] {
        service.answers(path, 200, "");
    }
    site.good(&["release", "rerun", "ending-1", "--step", "deploy", "--reason", "it is there now"]);
    let view = site.until("ending-1", "it watches", |it| it.waits.iter().any(|it| it.step == "watch"));
    assert_eq!(
        (view.waits[0].cause.as_str(), view.waits[0].text.as_str()),
        ("delay", "starts 1h after its turn has come")
    );
    for verb in [&["rollback"][..], &["cancel", "--rollback"]] {
        let asked = [&["release"], verb, &["ending-1", "--reason", "back"]].concat();
        let ran = site.run(&asked);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains("step `contract` is a point of no return"), "{ran:?}");
    }
    site.good(&["release", "cancel", "ending-1", "--reason", "enough"]);
    assert_eq!(site.ended("ending-1").state, "canceled");
    assert_eq!((service.asked("/tell/canceled"), service.asked("/watch")), (1, 0));
    let shown = site.good(&["release", "show", "ending-1"]).stdout;
    assert!(shown.contains("what runs last begins"), "{shown}");
    site.check();
}
