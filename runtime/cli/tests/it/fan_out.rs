//! A step that runs once for each item of a list, by the command.

use serde_json::json;

use crate::support::{Service, Site};

const WORKFLOW: &str = r"windlass: v1
workflow: shards
parameters:
  regions: { type: array, items: { type: string }, default: [eu, us, asia] }
steps:
  deploy:
    uses: http/get@^0.1
    connection: service
    for_each: { in: '${{ parameters.regions }}', fail_fast: false, reduce: '${{ sum(outputs.map(it, it.json.pods)) }}' }
    with: { path: '/${{ each.value }}/${{ each.number }}' }
    retry: { attempts: 1 }
  check:
    needs: [deploy]
    uses: http/get@^0.1
    connection: service
    with: { path: '/pods/${{ steps.deploy.output }}' }
outputs:
  pods: ${{ steps.deploy.output }}
";

#[test]
fn one_item_of_many_fails_is_tried_again_and_the_outputs_are_joined() {
    let service = Service::start();
    service.answers("/eu/1", 200, r#"{"pods": 1}"#);
    service.answers("/asia/3", 200, r#"{"pods": 4}"#);
    service.answers("/pods/7", 200, "fine");
    let site = Site::new();
    site.write("shards.yaml", WORKFLOW);
    site.good(&["connection", "add", "service", "--url", &service.url, "--private-network"]);
    let mut serve = site.serve();
    site.good(&["run", "shards.yaml", "--detach"]);
    let view = site.until("shards-1", "an item pauses, the others end", |it| {
        let items = &it.steps[0].items;
        it.state == "paused" && items.iter().filter(|it| it.state == "succeeded").count() == 2
    });
    assert_eq!(view.steps[0].status, "2 of 3 have ended");
    assert_eq!(view.steps[0].items[1].item, json!("us"));
    let shown = site.good(&["release", "show", "shards-1"]).stdout;
    assert!(shown.contains("▸ deploy.2") && shown.contains("retry shards-1 --step deploy.2"), "{shown}");

    serve.kill_9();
    let _serve = site.serve();
    service.answers("/us/2", 200, r#"{"pods": 2}"#);
    site.good(&["release", "retry", "shards-1", "--step", "deploy.2", "--reason", "the region is back"]);
    let view = site.ended("shards-1");
    assert!(view.succeeded, "{view:#?}");
    assert_eq!(view.outputs["pods"], json!(7));
    assert_eq!(service.asked("/eu/1"), 1, "what had ended well did not run again");

    service.answers("/pods/0", 200, "nothing to check");
    site.good(&["run", "shards.yaml", "--param", "regions=[]"]);
    let ran = site.run(&["run", "shards.yaml", "--param", "regions=eu"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
}
