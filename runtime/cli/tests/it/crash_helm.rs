//! `kill -9` while a native tool deploys, with the stand-in for helm: nothing is deployed anywhere.

use std::path::{Path, PathBuf};

use crate::support::{Process, Site, eventually, standin_helm};

const WORKFLOW: &str = r#"windlass: v1
workflow: deployment
parameters:
  tag: { type: string }
  chart: { type: string }
steps:
  deploy:
    uses: helm/upgrade@^0.1
    connection: cluster
    with:
      release: payments
      namespace: payments
      create_namespace: true
      chart: ${{ parameters.chart }}
      values: { image: { tag: '${{ parameters.tag }}' } }
      timeout: 2s
      poll_interval: 200ms
    timeout: 1m
    on_failure: rollback
"#;

struct Cluster(PathBuf);

impl Cluster {
    /// An empty cluster, declared with the tool that changes it.
    fn declare(site: &Site, folder: &Path) -> Self {
        let cluster = folder.join("cluster");
        std::fs::create_dir_all(&cluster).expect("the cluster's folder");
        std::fs::write(cluster.join("settings.json"), r#"{"ready_ms": 600}"#).expect("its settings");
        let kubeconfig = folder.join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: it\n  cluster: {{ server: 'file://{}' }}\nusers:\n- name: it\n  user: {{}}\ncontexts:\n- name: it\n  context: {{ cluster: it, user: it }}\ncurrent-context: it\n",
            cluster.display()
        );
        std::fs::write(&kubeconfig, text).expect("the kubeconfig");
        let reference = format!("file:{}", kubeconfig.display());
        site.good(&["connection", "add", "cluster", "--auth", "kubeconfig", "--kubeconfig", &reference]);
        let helm = standin_helm().display().to_string();
        let mut add = vec!["tool", "add", "helm", "--path", &helm, "--connection", "cluster"];
        // All that the plugin asks for.
        let inspected = site.json(&["plugin", "inspect", "helm"]);
        let actions = inspected["manifest"]["actions"].as_object().expect("actions").values();
        let asked = actions.flat_map(|it| it["tools"]["helm"]["subcommands"].as_array().into_iter().flatten());
        let asked: std::collections::BTreeSet<&str> = asked.map(|it| it.as_str().expect("a name")).collect();
        assert!(asked.contains("upgrade"), "{inspected}");
        for subcommand in asked {
            add.extend(["--subcommand", subcommand]);
        }
        site.good(&add);
        Self(cluster)
    }

    /// What was done to it, in order.
    fn effects(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.0.join("effects.jsonl")).unwrap_or_default();
        let lines = text.split_inclusive('\n').filter(|it| it.ends_with('\n'));
        lines
            .map(|it| {
                serde_json::from_str::<serde_json::Value>(it).expect("JSON")["kind"]
                    .as_str()
                    .expect("a kind")
                    .to_owned()
            })
            .collect()
    }

    /// The image tags of the revisions that are deployed; there is one.
    fn deployed(&self) -> Vec<String> {
        let helm = std::process::Command::new(standin_helm())
            .args(["history", "payments", "--namespace", "payments", "--output", "json", "--kubeconfig"])
            .arg(self.0.with_file_name("kubeconfig"))
            .output()
            .expect("the stand-in starts");
        let revisions: serde_json::Value = serde_json::from_slice(&helm.stdout).expect("JSON");
        let deployed = revisions.as_array().into_iter().flatten().filter(|it| it["status"] == "deployed");
        let revisions = deployed.map(|it| it["revision"].to_string());
        let values = revisions.map(|revision| {
            let values = std::process::Command::new(standin_helm())
                .args([
                    "get",
                    "values",
                    "payments",
                    "--namespace",
                    "payments",
                    "--output",
                    "json",
                    "--revision",
                    &revision,
                ])
                .arg("--kubeconfig")
                .arg(self.0.with_file_name("kubeconfig"))
                .output()
                .expect("the stand-in starts");
            serde_json::from_slice::<serde_json::Value>(&values.stdout).expect("JSON")
        });
        values.map(|it| it["image"]["tag"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

fn start(site: &Site, tag: &str) -> Process {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workflows/charts/payments");
    let chart = format!("chart={}", chart.canonicalize().expect("the chart").display());
    site.start(&["run", "deployment.yaml", "--param", &format!("tag={tag}"), "--param", &chart])
}

#[test]
fn killed_while_helm_deploys_and_while_it_rolls_back() {
    let site = Site::new();
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::declare(&site, folder.path());
    site.write("deployment.yaml", WORKFLOW);

    // As soon as the cluster has changed: helm dies with its caller and may leave its revision pending,
    // as the real one does, so that going on takes more than one call.
    let mut run = start(&site, "1.0.0");
    eventually("helm installs", || (!cluster.effects().is_empty()).then_some(()));
    run.kill_9();
    let mut serve = site.serve();
    assert_eq!(site.ended("deployment-1").state, "succeeded");
    assert_eq!(cluster.effects().iter().filter(|it| *it == "release.installed").count(), 1, "{:?}", cluster.effects());
    assert_eq!(cluster.deployed(), ["1.0.0"]);
    serve.stop();

    // While the workloads become ready.
    let before = cluster.effects().len();
    let mut run = start(&site, "2.0.0");
    site.until("deployment-2", "the workloads are waited for", |it| it.steps[0].state == "suspended");
    run.kill_9();
    let mut serve = site.serve();
    assert_eq!(site.ended("deployment-2").state, "succeeded");
    assert_eq!(cluster.effects()[before..], ["release.upgraded"]);
    assert_eq!(cluster.deployed(), ["2.0.0"]);
    serve.stop();

    // An image that never gets ready, and then while going back.
    let before = cluster.effects().len();
    let mut run = start(&site, "3.0.0-bad");
    site.until("deployment-3", "it is rolled back", |it| it.state == "rolling back");
    eventually("helm has rolled back", || {
        (cluster.effects().len() == before + 2 && cluster.deployed() == ["2.0.0"]).then_some(())
    });
    run.kill_9();
    // What a tool that was killed with its host had is not left there.
    let left = site.state().join("tools/windlass-tool-left");
    std::fs::create_dir_all(&left).expect("the host's folder for tools");
    std::fs::write(left.join("config"), "a kubeconfig").expect("writable");
    let _serve = site.serve();
    assert_eq!(site.ended("deployment-3").state, "rolled back");
    assert_eq!(cluster.effects()[before..], ["release.upgraded", "release.rolled_back"]);
    assert_eq!(cluster.deployed(), ["2.0.0"]);
    assert!(!left.exists());
    site.check();
}
