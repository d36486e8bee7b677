//! Where a chart comes from: a registry, a repository, a folder of the host, or the workflow itself.

use std::collections::BTreeMap;
use windlass_sdk::Failure;

/// Files of the workflow go into this folder of the tool's working directory.
const FOLDER: &str = "chart";

/// A chart, as helm is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chart {
    reference: String,
    repository: Option<String>,
    version: Option<String>,
    files: Vec<(String, Vec<u8>)>,
}

/// What an input says of its chart.
pub(crate) struct ChartInput<'a> {
    pub(crate) chart: Option<&'a str>,
    pub(crate) repository: Option<&'a str>,
    pub(crate) version: Option<&'a str>,
    pub(crate) chart_files: &'a BTreeMap<String, String>,
}

impl Chart {
    pub(crate) fn resolve(input: &ChartInput) -> Result<Self, Failure> {
        let wrong = |message: String| Err(Failure::invalid("chart", message).never());
        if let Some(version) = input.version
            && (version.starts_with('-') || version.is_empty() || version.contains(char::is_control))
        {
            return wrong(format!("`{version}` is no version of a chart"));
        }
        let version = input.version.map(str::to_owned);
        match (input.chart, input.chart_files.is_empty()) {
            (None, true) => wrong("`chart` or `chart_files` has to say which chart".to_owned()),
            (Some(_), false) => wrong("`chart` and `chart_files` both name a chart: leave one out".to_owned()),
            (None, false) => {
                if input.repository.is_some() || version.is_some() {
                    return wrong("`repository` and `version` are for a chart that is fetched".to_owned());
                }
                Self::of_files(input.chart_files)
            }
            (Some(chart), true) => {
                if let Some(repository) = input.repository {
                    if !repository.starts_with("https://") && !repository.starts_with("http://") {
                        return wrong(format!("the repository `{repository}` is no address: write `https://…`"));
                    }
                    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
                    if chart.is_empty() || chart.starts_with(['-', '.']) || !chart.bytes().all(is_plain) {
                        return wrong(format!("`{chart}` is no name of a chart in a repository"));
                    }
                } else if !is_address(chart) && !is_host_folder(chart) {
                    return wrong(format!(
                        "`{chart}` leads nowhere: helm runs in a private folder, so write `oci://…`, `https://….tgz`, an \
                         absolute path on the machine that runs releases, a `repository` beside the name, or put the \
                         chart into `chart_files`"
                    ));
                }
                Ok(Self {
                    reference: chart.to_owned(),
                    repository: input.repository.map(str::to_owned),
                    version,
                    files: Vec::new(),
                })
            }
        }
    }

    fn of_files(files: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let mut placed = Vec::with_capacity(files.len());
        for (path, text) in files {
            let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0']);
            if !path.split('/').all(plain) {
                let message = format!("the chart file `{path}` is no relative path such as `templates/service.yaml`");
                return Err(Failure::invalid("chart", message).never());
            }
            placed.push((format!("{FOLDER}/{path}"), text.clone().into_bytes()));
        }
        if !files.contains_key("Chart.yaml") {
            let message = "`chart_files` has no `Chart.yaml`, so it is no chart";
            return Err(Failure::invalid("chart", message).never());
        }
        Ok(Self { reference: format!("./{FOLDER}"), repository: None, version: None, files: placed })
    }

    /// The chart as helm's argument.
    pub(crate) fn reference(&self) -> &str {
        &self.reference
    }

    /// The flags that belong to it.
    pub(crate) fn flags(&self) -> Vec<String> {
        let pairs = [("--repo", &self.repository), ("--version", &self.version)];
        pairs.into_iter().filter_map(|(flag, value)| Some([flag.to_owned(), value.clone()?])).flatten().collect()
    }

    /// The files to put beside the tool.
    pub(crate) fn files(&self) -> &[(String, Vec<u8>)] {
        &self.files
    }

    /// Whether helm has its files without fetching it.
    pub(crate) fn is_at_hand(&self) -> bool {
        self.repository.is_none() && !is_address(&self.reference)
    }
}

fn is_address(chart: &str) -> bool {
    ["oci://", "https://", "http://"].iter().any(|scheme| chart.starts_with(scheme))
}

fn is_host_folder(chart: &str) -> bool {
    chart.starts_with('/')
        && chart.split('/').any(|part| !part.is_empty())
        && !chart.split('/').any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(
        chart: Option<&str>,
        repository: Option<&str>,
        version: Option<&str>,
        files: &[&str],
    ) -> Result<Chart, Failure> {
        let chart_files = files.iter().map(|path| ((*path).to_owned(), "text".to_owned())).collect();
        Chart::resolve(&ChartInput { chart, repository, version, chart_files: &chart_files })
    }

    #[test]
    fn charts_come_from_four_places() {
        let oci = resolve(Some("oci://registry.test/charts/pay"), None, Some("^1.2"), &[]).expect("a registry");
        assert_eq!(oci.flags(), ["--version", "^1.2"]);
        assert!(!oci.is_at_hand());
        let repository = resolve(Some("pay"), Some("https://charts.test"), None, &[]).expect("a repository");
        assert_eq!(repository.flags(), ["--repo", "https://charts.test"]);
        assert!(!repository.is_at_hand());
        let folder = resolve(Some("/srv/charts/pay"), None, None, &[]).expect("a folder");
        assert!(folder.is_at_hand() && folder.files().is_empty());
        let inline = resolve(None, None, None, &["Chart.yaml", "templates/a.yaml"]).expect("files");
        assert_eq!(inline.reference(), "./chart");
        let paths: Vec<&str> = inline.files().iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["chart/Chart.yaml", "chart/templates/a.yaml"]);
    }

    #[test]
    fn what_helm_would_misread_is_refused() {
        for (chart, repository, version, files) in [
            (None, None, None, &[][..]),
            (Some("oci://a/b"), None, None, &["Chart.yaml"][..]),
            (Some("charts/pay"), None, None, &[]),
            (Some("../pay"), None, None, &[]),
            (Some("--kubeconfig=/x"), None, None, &[]),
            (Some("/srv/../etc"), None, None, &[]),
            (Some("/"), None, None, &[]),
            (Some("pay"), None, None, &[]),
            (Some("-pay"), Some("https://charts.test"), None, &[]),
            (Some("a/b"), Some("https://charts.test"), None, &[]),
            (Some("pay"), Some("file:///srv"), None, &[]),
            (Some("oci://a/b"), None, Some("--debug"), &[]),
            (None, None, None, &["templates/a.yaml"]),
            (None, None, None, &["Chart.yaml", "../escape"]),
            (None, None, None, &["Chart.yaml", "/etc/passwd"]),
            (None, None, Some("1.0.0"), &["Chart.yaml"]),
        ] {
            let failure = resolve(chart, repository, version, files).expect_err("a wrong chart");
            assert_eq!(failure.code, "chart", "{chart:?} {repository:?} {version:?} {files:?}");
        }
    }
}
