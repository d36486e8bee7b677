//! `conformance.yaml`: how a plugin's author says that the plugin is to be exercised.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use windlass_model::failure::FailureClass;
use windlass_model::name::{ActionName, RoleName, ToolName};
use windlass_model::problem::{Problem, Source, did_you_mean, listed};

/// The only version of the file so far.
pub(crate) const FILE_VERSION: &str = "v1";

/// The file's name beside a plugin.
pub const FILE_NAME: &str = "conformance.yaml";

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{} cannot be read: {why}; a plugin is certified by a file `{FILE_NAME}` beside it, which says how it is exercised", .file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        why: std::io::Error,
    },
    /// It is not of the form.
    #[error("{}: {why}", .file.display())]
    Malformed {
        /// Which file.
        file: PathBuf,
        /// What is wrong, with its line and column.
        why: String,
    },
    /// It does not fit the plugin.
    #[error("{}", unfit(.file, .problems))]
    Unfit {
        /// The file.
        file: Source,
        /// What does not fit, with its places.
        problems: Vec<Problem>,
    },
}

/// One line for each, as compilers tell it; [`windlass_model::problem::render`] shows more.
fn unfit(file: &Source, problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|it| format!("{}:{it}", file.name())).collect();
    lines.join("\n")
}

/// How a plugin is exercised.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Conformance {
    /// The version of this form, `v1`.
    certify: String,
    /// What the plugin talks to; none for a plugin that talks to nobody.
    #[serde(default)]
    pub(crate) counterpart: Option<CounterpartFile>,
    /// The roles that lead to it.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, ConnectionFile>")]
    pub(crate) connections: BTreeMap<RoleName, ConnectionFile>,
    /// The native tools that it runs, by the names in its manifest.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, ToolFile>")]
    pub(crate) tools: BTreeMap<ToolName, ToolFile>,
    /// Where the counterpart shows what has been done to it.
    #[serde(default)]
    pub(crate) probes: BTreeMap<String, ProbeFile>,
    /// What is exercised.
    #[serde(default)]
    pub(crate) cases: Vec<Case>,
    /// Actions that cannot be exercised so, with the reason; they are not certified, and that is said.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub(crate) without: BTreeMap<ActionName, String>,
    /// The folder of the file, where its command runs.
    #[serde(skip)]
    pub(crate) folder: PathBuf,
    /// Its text, for the places of what does not fit.
    #[serde(skip)]
    pub(crate) source: Source,
}

/// What a plugin talks to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum CounterpartFile {
    /// Started anew for each scenario; `{listen}` stands for where it is to listen, `127.0.0.1:PORT`, `{port}` for that port
    /// alone, `{secret}` for the credential.
    Command(Vec<String>),
    /// One that runs: `http://127.0.0.1:8099`.
    Address(String),
}

/// What is run as a native tool, with a script of the suite's between.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToolFile {
    /// The program, and arguments that come before the plugin's: `[helm]`. `{state}` stands for a folder of the scenario's
    /// own, which is empty at first, `{folder}` for the one of this file, `{secret}` for the credential.
    #[schemars(length(min = 1))]
    pub(crate) command: Vec<String>,
    /// Subcommands that end in the middle of their work where the variable `WINDLASS_CERTIFY_HALFWAY` is set, as a program
    /// does whose machine is switched off: `[upgrade]`.
    #[serde(default)]
    pub(crate) halfway: Vec<String>,
}

/// How a role leads to the counterpart, or a tool to what it talks to.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectionFile {
    /// For tools only: the kubeconfig that they are given. `{state}` and `{secret}` stand for what they do in `command`.
    #[serde(default)]
    pub(crate) kubeconfig: Option<String>,
    /// What comes after the counterpart's address: `/v1`.
    #[serde(default)]
    pub(crate) path: String,
    /// How the made-up credential is sent.
    #[serde(default)]
    pub(crate) credential: Credential,
    /// Public settings.
    #[serde(default)]
    pub(crate) properties: BTreeMap<String, String>,
}

/// How the made-up credential is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Credential {
    /// As a bearer token.
    #[default]
    Bearer,
    /// As the password of this user.
    Basic(String),
    /// As the value of this header.
    Header(String),
}

/// A GET at the counterpart, or a run of a tool, that tells how much has been done; either answers with JSON.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["get"] }, { "required": ["run"] }]))]
pub(crate) struct ProbeFile {
    /// The path, with a query where it needs one. `{NAME}` stands for what was kept.
    #[serde(default)]
    pub(crate) get: Option<String>,
    /// A tool of `tools` and its arguments.
    #[serde(default)]
    pub(crate) run: Option<Vec<String>>,
    /// Where the list is whose elements are counted (JSON Pointer); the whole answer unless given.
    #[serde(default)]
    pub(crate) count: Option<String>,
    /// Where the value is that is compared instead.
    #[serde(default)]
    pub(crate) value: Option<String>,
    /// Only elements are counted that have these values at these pointers; a list means one of them.
    #[serde(default)]
    pub(crate) with: BTreeMap<String, Value>,
    /// Elements that have one of these values at these pointers are not counted: `{ /state: reverted }`, or
    /// `{ /state: [stopped, reverted] }`.
    #[serde(default)]
    pub(crate) except: BTreeMap<String, Value>,
    /// Whether it tells what ever happened, which no rollback and no cancellation takes back.
    #[serde(default)]
    pub(crate) history: bool,
    /// Whether it tells what work leaves behind that has ended: a `cancel` comes too late for that.
    #[serde(default)]
    pub(crate) finished: bool,
}

/// An action with an input, and what becomes of it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// The action.
    #[schemars(with = "String")]
    pub(crate) action: ActionName,
    /// What the case is called where an action has several.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Its input. `{NAME}` stands for what `prepare` kept.
    #[serde(default = "no_input")]
    pub(crate) input: Value,
    /// What becomes of it when nothing goes wrong.
    #[serde(default)]
    pub(crate) ends: Ends,
    /// Pointers into the output at what is another thing each time: `/id`.
    #[serde(default)]
    pub(crate) varies: Vec<String>,
    /// Requests to the counterpart before the action.
    #[serde(default)]
    pub(crate) prepare: Vec<Preparation>,
    /// Requests to the counterpart when the action waits for the first time.
    #[serde(default)]
    pub(crate) while_waiting: Vec<Preparation>,
    /// What somebody else does after the action was done and before it is rolled back: its rollback must leave that alone.
    #[serde(default)]
    pub(crate) before_rollback: Vec<Preparation>,
    /// The body of the callback that wakes it, if it waits for one.
    #[serde(default)]
    pub(crate) callback: Option<String>,
    /// Probes of the file that say something of this case; all unless given.
    #[serde(default)]
    pub(crate) probes: Option<Vec<String>>,
}

fn no_input() -> Value {
    Value::Object(serde_json::Map::new())
}

/// How a case ends.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ends {
    /// With an output.
    #[default]
    Done,
    /// With a failure that the plugin declares.
    Failed(DeclaredFailure),
}

/// A failure that is meant.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeclaredFailure {
    /// Its code.
    pub(crate) code: String,
    /// Its class.
    #[serde(default)]
    pub(crate) class: Option<FailureClass>,
}

/// A request to the counterpart, or a run of a tool, beside the plugin.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["path"] }, { "required": ["run"] }]))]
pub(crate) struct Preparation {
    /// The method.
    #[serde(default = "post")]
    pub(crate) method: String,
    /// The path.
    #[serde(default)]
    pub(crate) path: Option<String>,
    /// A tool of `tools` and its arguments.
    #[serde(default)]
    pub(crate) run: Option<Vec<String>>,
    /// A JSON body.
    #[serde(default)]
    pub(crate) json: Option<Value>,
    /// A body as HTML's forms send it, in its stead.
    #[serde(default)]
    pub(crate) form: Option<BTreeMap<String, String>>,
    /// What is kept of the answer, by the name under which it is used.
    #[serde(default)]
    pub(crate) keep: BTreeMap<String, String>,
}

fn post() -> String {
    "POST".to_owned()
}

impl Case {
    /// What people call it.
    pub(crate) fn title(&self) -> String {
        match &self.name {
            Some(name) => format!("{} ({name})", self.action),
            None => self.action.to_string(),
        }
    }
}

impl Conformance {
    /// The JSON Schema of the file, for editors.
    pub fn schema() -> Value {
        let mut schema = schemars::schema_for!(Self).to_value();
        schema["$id"] = Value::from("urn:windlass:schema:conformance:v1");
        schema["title"] = Value::from("How a Windlass plugin is exercised");
        schema["properties"]["certify"]["const"] = Value::from(FILE_VERSION);
        schema
    }

    /// Reads a file.
    pub fn read(file: &Path) -> Result<Self, FileError> {
        let text = std::fs::read_to_string(file).map_err(|why| FileError::Unreadable { file: file.to_owned(), why })?;
        let folder = file.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self::parse(&text, file, folder)
    }

    fn parse(text: &str, file: &Path, folder: &Path) -> Result<Self, FileError> {
        let malformed = |why: String| FileError::Malformed { file: file.to_owned(), why };
        // The library knows a text and no file.
        let in_this_file = |told: &str| {
            let told = told.strip_prefix("error: ").unwrap_or(told);
            told.replacen("--> <input>:", &format!("--> {}:", file.display()), 1)
        };
        let told = |error: serde_saphyr::Error| {
            let told = in_this_file(&error.to_string());
            let meant = meant(&told).map(|it| format!("\n  = help: {it}")).unwrap_or_default();
            malformed(format!("{}{meant}", told.trim_end()))
        };
        let read = serde_saphyr::from_str(text).map_err(told);
        let mut read: Self = read?;
        if read.certify != FILE_VERSION {
            return Err(malformed(format!(
                "it is of version `{}`; `certify: {FILE_VERSION}` can be read",
                read.certify
            )));
        }
        folder.clone_into(&mut read.folder);
        read.source = Source::new(file.display().to_string(), text);
        Ok(read)
    }

    /// Whether each scenario has a counterpart of its own, and tools with a state of their own.
    pub(crate) fn has_own_counterparts(&self) -> bool {
        let is_own = |text: &String| text.contains("{state}");
        let kubeconfigs = self.connections.values().filter_map(|it| it.kubeconfig.as_ref());
        let own_tools = self.tools.values().all(|it| it.command.iter().any(is_own));
        let own_cluster = kubeconfigs.clone().next().is_some() && kubeconfigs.clone().all(is_own);
        !matches!(self.counterpart, Some(CounterpartFile::Address(_))) && (own_tools || own_cluster)
    }

    /// The connections by which the counterpart is asked, which are not for tools.
    pub(crate) fn asked(&self) -> impl Iterator<Item = (&RoleName, &ConnectionFile)> {
        self.connections.iter().filter(|(_, it)| it.kubeconfig.is_none())
    }

    /// The probes that say something of a case.
    pub(crate) fn probes_of<'a>(&'a self, case: &'a Case) -> impl Iterator<Item = (&'a String, &'a ProbeFile)> {
        let all = self.probes.iter();
        all.filter(move |(name, _)| case.probes.as_ref().is_none_or(|it| it.contains(*name)))
    }
}

/// What was meant by a key that is unknown, or a word: ``unknown field `variess`, expected one of varies, probes``.
fn meant(told: &str) -> Option<String> {
    let (_, unknown) = told.split_once("unknown ")?;
    let (given, expected) = unknown.lines().next()?.split_once(", expected ")?;
    let given = given.split('`').nth(1)?;
    let expected = expected.trim_start_matches("one of ").split(", ");
    did_you_mean(given, expected.map(|it| it.trim_matches('`')))
}

/// The tools of an action as people list them.
pub(crate) fn tools(of: &BTreeMap<ToolName, windlass_model::manifest::ToolNeed>) -> String {
    listed(of.keys())
}

/// Puts what was kept in place of `{NAME}` wherever a text has it.
pub(crate) fn filled(value: &Value, kept: &BTreeMap<String, Value>) -> Value {
    match value {
        Value::String(text) => match kept.iter().find(|(name, _)| *text == format!("{{{name}}}")) {
            Some((_, value)) => value.clone(),
            None => Value::String(filled_text(text, kept)),
        },
        Value::Array(items) => items.iter().map(|it| filled(it, kept)).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, it)| (name.clone(), filled(it, kept))).collect())
        }
        other => other.clone(),
    }
}

/// The same in one text.
pub(crate) fn filled_text(text: &str, kept: &BTreeMap<String, Value>) -> String {
    kept.iter().fold(text.to_owned(), |text, (name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.replace(&format!("{{{name}}}"), &value)
    })
}

/// Which scenario: what `--only`, `--at` and a transcript name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Only {
    /// One action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionName>,
    /// One of its cases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// One check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<crate::Check>,
    /// One scenario of it, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<usize>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use windlass_model::manifest::Manifest;

    use super::*;

    const GOOD: &str = "certify: v1\ncounterpart: { command: [jobs, --listen, '{listen}'] }\nconnections:\n  jobs: { credential: { basic: bot } }\nprobes:\n  jobs: { get: /jobs, count: /jobs }\ncases:\n  - action: submit\n    input: { title: index }\n    varies: [/id]\n  - action: submit\n    name: refused\n    input: { title: bad }\n    ends: { failed: { code: job-rejected, class: rejected } }\n";

    fn read(text: &str) -> Result<Conformance, String> {
        Conformance::parse(text, Path::new("conformance.yaml"), Path::new(".")).map_err(|error| error.to_string())
    }

    fn manifest() -> Manifest {
        let input = json!({ "type": "object", "required": ["title"], "additionalProperties": false,
            "properties": { "title": { "type": "string" } } });
        let action = json!({ "description": "d", "effect": "write", "input": input, "output": {}, "connections": {
            "jobs": { "description": "d", "requests": [] } } });
        serde_json::from_value(json!({ "name": "jobs", "version": "0.1.0", "contract": "0.1", "description": "d",
            "actions": { "submit": action } }))
        .expect("a manifest")
    }

    #[test]
    fn a_file_is_read_and_fits() {
        let file = read(GOOD).expect("it is good");
        assert!(matches!(&file.cases[1].ends, Ends::Failed(it) if it.code == "job-rejected"));
        assert!(
            matches!(&file.connections.values().next().expect("one").credential, Credential::Basic(it) if it == "bot")
        );
        file.fits(&manifest()).expect("it fits");
    }

    #[test]
    fn the_schema_takes_what_is_read_and_refuses_what_is_not() {
        let schema = windlass_model::manifest::compile_schema(&Conformance::schema()).expect("a schema");
        let fits = |text: &str| schema.is_valid(&serde_saphyr::from_str(text).expect("YAML"));
        assert!(fits(GOOD));
        for (from, to) in [
            ("varies: [/id]", "vary: [/id]"),
            ("certify: v1", "certify: v2"),
            ("class: rejected", "class: refused"),
            ("action: submit", "inputs: {}"),
            ("get: /jobs,", ""),
        ] {
            assert!(!fits(&GOOD.replacen(from, to, 1)), "{to}");
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for folder in ["plugins/jenkins", "plugins/helm", "plugins/servicenow", "sdk/cookbook", "sdk/go/example"] {
            let text = std::fs::read_to_string(root.join(folder).join(FILE_NAME)).expect(folder);
            assert!(fits(&text), "{folder}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (from, to, expected) in [
            ("varies: [/id]", "vary: [/id]", "line 10"),
            ("varies: [/id]", "variess: [/id]", "did you mean `varies`?"),
            ("class: rejected", "class: rejectd", "did you mean `rejected`?"),
            ("certify: v1", "certify: v2", "`certify: v1` can be read"),
            ("class: rejected", "class: refused", "refused"),
            ("action: submit", "inputs: {}", "line"),
            (
                "action: submit",
                "action submit",
                "conformance.yaml: line 8 column 5: expected mapping start\n  --> conformance.yaml:8:5",
            ),
        ] {
            let error = read(&GOOD.replacen(from, to, 1)).expect_err(expected);
            assert!(error.contains(expected), "{expected:?} is not in {error:?}");
        }
        for (from, to, expected) in [
            ("action: submit", "action: summit", "has no action `summit`; it has `submit`; did you mean `submit`?"),
            ("  jobs: { credential", "  job: { credential", "needs the role `jobs`"),
            ("varies: [/id]", "probes: [job]", "the probe `job`"),
            ("varies: [/id]", "varies: [id]", "`id` in `varies` of case `submit` is no JSON Pointer: write `/id`"),
            ("count: /jobs", "count: jobs", "`jobs` of the probe `jobs` is no JSON Pointer: write `/jobs`"),
            ("count: /jobs", "count: /jobs, value: /jobs", "give one"),
            ("counterpart:", "#", "need a `counterpart`"),
            ("title: index", "titel: index", "the input of case `submit`: "),
            ("title: bad", "title: 7", "the input of case `submit (refused)`: "),
        ] {
            let file = read(&GOOD.replacen(from, to, 1)).expect("the form is good");
            let error = file.fits(&manifest()).expect_err(expected).to_string();
            assert!(error.contains(expected), "{expected:?} is not in {error:?}");
        }
        let tooled = |text: &str| {
            let action = json!({ "description": "d", "effect": "read", "input": {}, "output": {}, "connections": {
                "cluster": { "description": "d", "requests": [] } }, "tools": {
                "helm": { "description": "d", "subcommands": ["list"] } } });
            let manifest = serde_json::from_value(json!({ "name": "charts", "version": "0.1.0", "contract": "0.1",
                "description": "d", "actions": { "list": action } }));
            read(text).expect("the form is good").fits(&manifest.expect("a manifest"))
        };
        const TOOLED: &str = "certify: v1\ntools: { helm: { command: [helm] } }\nconnections: { cluster: { kubeconfig: 'a: b' } }\nprobes: { all: { run: [helm, list], count: '' } }\ncases: [{ action: list }]\n";
        tooled(TOOLED).expect("it fits, and needs no counterpart");
        for (from, to, expected) in [
            ("helm: { command: [helm] }", "", "action `list` runs the tool `helm`: name it below `tools`"),
            ("helm: { command: [helm] }", "helm: { command: [] }", "the tool `helm` has an empty `command`"),
            (
                "[helm] }",
                "[helm, '{stat}'] }",
                "`{stat}` of `helm` stands for nothing: there are {state}, {folder} and {secret}",
            ),
            ("'a: b'", "'a: {secrt}'", "`{secrt}` of `cluster` stands for nothing"),
            ("'a: b'", "'a b'", "the `kubeconfig` of the role `cluster` is no YAML mapping"),
            ("[{ action: list }]", "[{ action: list }, { action: list }]", "there are two cases `list`"),
            ("[helm] }", "[sh, ./helm.sh] }", "write `{folder}/helm.sh`"),
            ("tools: { helm: { command: [helm] } }", "tools: {}", "which only tools get: name them in `tools`"),
            ("{ kubeconfig: 'a: b' }", "{}", "give its `kubeconfig`, which they get"),
            ("{ action: list }", "{ action: list, prepare: [{ run: [helm], json: 1 }] }", "a body is a request's"),
            ("tools: { helm", "tools: { kubectl: { command: [kubectl] }, helm", "no action runs the tool `kubectl`"),
            (
                "run: [helm, list]",
                "run: [hlem, list]",
                "the probe `all` runs `hlem`, which is not below `tools`: `helm`",
            ),
            ("run: [helm, list], ", "", "the probe `all` needs `get`"),
            ("run: [helm", "get: /a, run: [helm", "the probe `all` makes a request and runs a tool; give one"),
            ("{ action: list }", "{ action: list, prepare: [{}] }", "what is done beside case `list` needs"),
            ("'a: b'", "'a: b', path: /v1", "the role `cluster` has a `kubeconfig`, so no `path`"),
            ("run: [helm, list]", "get: /list", "need a `counterpart`"),
        ] {
            let error = tooled(&TOOLED.replacen(from, to, 1)).expect_err(expected).to_string();
            assert!(error.contains(expected), "{expected:?} is not in {error:?}");
        }
        // What another action gives is not known before it has run.
        let prepared = GOOD.replacen(
            "    input: { title: index }",
            "    prepare: [{ path: /jobs, keep: { t: /id } }]\n    input: { title: [] }",
            1,
        );
        read(&prepared).expect("the form is good").fits(&manifest()).expect("it is judged later");
    }

    #[test]
    fn what_was_kept_is_filled_in() {
        let kept = [("change".to_owned(), json!("abc")), ("n".to_owned(), json!(3))].into();
        let filled = filled(&json!({ "a": "{n}", "b": ["x/{change}/{n}"], "c": "{other}" }), &kept);
        assert_eq!(filled, json!({ "a": 3, "b": ["x/abc/3"], "c": "{other}" }));
    }
}
