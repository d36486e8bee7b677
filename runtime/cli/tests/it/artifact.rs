//! Artifacts by digest, and outputs with types, through a release and one inside of it.

use serde_json::json;

use crate::support::{Service, Site};

const OUTER: &str = r"windlass: v1
workflow: ship
parameters:
  image: { type: artifact, description: what is shipped }
  charts: { type: array, items: { type: artifact }, default: [] }
steps:
  stage:
    uses: ./stage.yaml
    with: { image: '${{ parameters.image }}' }
    on_failure: fail
outputs:
  image: { type: artifact, value: '${{ steps.stage.output.image }}' }
  short: { type: string, maxLength: 71, value: '${{ steps.stage.output.image.digest }}' }
";

const INNER: &str = r"windlass: v1
workflow: stage
parameters:
  image: { type: artifact }
steps:
  look:
    uses: http/get@^0.1
    connection: service
    with: { path: '/images/${{ parameters.image.digest }}' }
    retry: { attempts: 1 }
    on_failure: fail
finally:
  note: { uses: http/get@^0.1, connection: service, with: { path: '/note/${{ release.outcome }}' } }
outputs:
  image:
    type: artifact
    description: as the registry has it
    value: { digest: '${{ steps.look.output.text }}', name: payments, version: '2.4.1' }
";

fn digest(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

fn site(service: &Service) -> Site {
    let site = Site::new();
    site.write("ship.yaml", OUTER);
    site.write("stage.yaml", INNER);
    site.good(&["connection", "add", "service", "--url", &service.url, "--private-network"]);
    for outcome in ["succeeded", "failed"] {
        service.answers(&format!("/note/{outcome}"), 200, "noted");
    }
    site
}

#[test]
fn an_artifact_goes_in_and_comes_out_by_its_digest() {
    let service = Service::start();
    let site = site(&service);
    let (given, staged) = (digest('a'), digest('b'));
    service.answers(&format!("/images/{given}"), 200, &staged);
    let parameter = format!("image=registry.example.com/payments@{given}");
    let charts = format!("charts=[{{\"digest\":\"{}\",\"name\":\"chart\"}}]", digest('c'));
    let ran = site.run(&["run", "ship.yaml", "--param", &parameter, "--param", &charts]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let view = site.show("ship-1").expect("a release");
    assert_eq!(view.parameters["image"], json!({ "digest": given, "uri": "registry.example.com/payments" }));
    let image = json!({ "digest": staged, "name": "payments", "version": "2.4.1" });
    assert_eq!(view.outputs, json!({ "image": image, "short": staged }));
    let shown = site.good(&["release", "show", "ship-1"]).stdout;
    for line in [
        "artifact  chart (sha256:cccccccccccc)  from parameter charts",
        "artifact  registry.example.com/payments (sha256:aaaaaaaaaaaa)  from parameter image",
        "artifact  payments 2.4.1 (sha256:bbbbbbbbbbbb)  from step stage, output image",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
}

#[test]
fn what_is_no_artifact_is_refused_where_it_comes_in_and_where_it_goes_out() {
    let service = Service::start();
    let site = site(&service);
    for wrong in ["payments:latest", "sha256:abc", "{\"digest\":\"sha256:abc\"}", "7"] {
        let ran = site.run(&["run", "ship.yaml", "--param", &format!("image={wrong}")]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains("`image`") && ran.stderr.contains("it takes an artifact: `sha256:…`"), "{ran:?}");
    }
    assert!(site.show("ship-1").is_none(), "nothing was started");
    // The registry gives something else than the file promises.
    let given = digest('a');
    service.answers(&format!("/images/{given}"), 200, "moved");
    let ran = site.run(&["run", "ship.yaml", "--param", &format!("image={given}")]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let problem = "output `image` is not what it is declared to be: at `/digest`: \"moved\" does not match";
    let (outer, inner) = (site.show("ship-1").expect("a release"), site.show("stage-1").expect("a release"));
    assert_eq!((outer.state.as_str(), inner.state.as_str()), ("failed", "failed"));
    assert!(outer.steps[0].status.contains(problem), "{:?}", outer.steps[0].status);
    assert_eq!(inner.outputs, json!({}));
    assert!(inner.headline.contains(problem), "{}", inner.headline);
    assert_eq!(service.asked("/note/failed"), 1, "what runs last saw how it ends");
    let shown = site.good(&["release", "show", "stage-1"]).stdout;
    assert!(shown.contains(&format!("cannot succeed: {problem}")), "{shown}");
    // Once it is what was promised, the release can go on.
    service.answers(&format!("/images/{given}"), 200, &digest('b'));
    let _serve = site.serve();
    site.good(&["release", "rerun", "ship-1", "--step", "stage", "--reason", "the registry is whole again"]);
    let view = site.until("ship-1", "it succeeds", |it| it.ended && it.state != "failed");
    assert_eq!(view.state, "succeeded");
    site.check();
}

#[test]
fn types_of_outputs_are_checked_before_anything_runs() {
    let service = Service::start();
    let site = site(&service);
    site.write(
        "wrong.yaml",
        &OUTER
            .replace("value: '${{ steps.stage.output.image }}'", "value: '${{ steps.stage.output.image.name }}'")
            .replace("output.image.digest }}", "output.image.digests }}"),
    );
    let ran = site.run(&["validate", "wrong.yaml"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let said = format!("{}{}", ran.stdout, ran.stderr);
    for text in [
        "output `image` takes an object, and this gives a text",
        "wrong.yaml:13:",
        "there is no field `digests`",
        "did you mean `digest`?",
    ] {
        assert!(said.contains(text), "{text}: {said}");
    }
}
