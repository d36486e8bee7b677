//! `windlass connection`

use std::collections::BTreeMap;

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use windlass_model::connection::{Authentication, Connection, SecretReference};
use windlass_model::manifest::RequestRule;
use windlass_model::name::{ConnectionName, PluginName};
use windlass_model::review::{Severity, review_rule};
use windlass_server::api::{ConnectionTest, ConnectionTestBody, SecretBody};
use windlass_server::client::Client;

use super::Context;
use super::unknown::note_unknown;
use crate::author::trial::binding::is_plainly_local;
use crate::output::{BAD, GOOD, styled};

#[derive(Debug, Subcommand)]
pub(crate) enum ConnectionCommand {
    /// Declare an endpoint; replaces the one of this name
    #[command(
        after_help = "Secrets are referred to, never written out: env:NAME or file:/absolute/path.\n\nExamples:\n  windlass connection add ci --url https://ci.example.com --auth basic --username bot --password env:CI_TOKEN\n  windlass connection add itsm --url https://acme.service-now.com --auth oauth2 --token-url https://acme.service-now.com/oauth_token.do --client-id windlass --client-secret file:/etc/windlass/itsm\n  windlass connection add cluster --auth kubeconfig --kubeconfig file:/etc/windlass/kubeconfig"
    )]
    Add(Box<AddArgs>),
    /// Let a connection do more; all else of it stays as it is
    #[command(
        after_help = "It only gives more rights. For another address or credential declare it again: `windlass connection add` replaces it.\n\nExamples:\n  windlass connection change ci --allow 'POST /job/*/stop'\n  windlass connection change ci --private-network"
    )]
    Change(ChangeArgs),
    /// List connections
    List,
    /// Try a connection: reach, identity
    #[command(
        after_help = "It sends one GET and nothing else. Where nothing is at the address itself, a path that asks for the credential tells whether it is taken.\n\nExamples:\n  windlass connection test ci\n  windlass connection test ci --path /api/json"
    )]
    Test {
        /// Which
        name: String,
        /// What is fetched, below the connection's address
        #[arg(long, default_value = "/")]
        path: String,
    },
    /// Forget a connection
    Remove {
        /// Which
        name: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct ChangeArgs {
    /// Which
    name: ConnectionName,
    /// Requests to allow as well, for example 'POST /job/*/stop'
    #[arg(long = "allow", value_name = "METHODS PATH")]
    allow: Vec<String>,
    /// Requests that only read though their method does not say so
    #[arg(long = "reads", value_name = "METHODS PATH")]
    reads: Vec<String>,
    /// A plugin that may use it as well
    #[arg(long = "plugin")]
    plugins: Vec<PluginName>,
    /// The endpoint may be in a private or local network
    #[arg(long)]
    private_network: bool,
    /// Another address or credential is another connection; taken to say so
    #[arg(long = "url", hide = true, aliases = ["auth", "username", "password", "token", "header", "value", "token-url", "client-id", "client-secret", "kubeconfig"])]
    others: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Auth {
    None,
    Basic,
    Bearer,
    Header,
    Oauth2,
    Kubeconfig,
}

impl Auth {
    fn name(self) -> String {
        self.to_possible_value().map(|it| it.get_name().to_owned()).unwrap_or_default()
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// Its name, as workflows write it
    name: ConnectionName,
    /// Its address: scheme, host, port and path prefix
    #[arg(long)]
    url: Option<String>,
    /// How to authenticate
    #[arg(long, value_enum, default_value = "none")]
    auth: Auth,
    /// For basic: the user
    #[arg(long)]
    username: Option<String>,
    /// For basic: where the password is
    #[arg(long, value_name = "REFERENCE", value_parser = super::ReferenceParser)]
    password: Option<SecretReference>,
    /// For bearer: where the token is
    #[arg(long, value_name = "REFERENCE", value_parser = super::ReferenceParser)]
    token: Option<SecretReference>,
    /// For header: the header's name
    #[arg(long)]
    header: Option<String>,
    /// For header: where its value is
    #[arg(long, value_name = "REFERENCE", value_parser = super::ReferenceParser)]
    value: Option<SecretReference>,
    /// For oauth2: where tokens are fetched
    #[arg(long)]
    token_url: Option<String>,
    /// For oauth2: the client
    #[arg(long)]
    client_id: Option<String>,
    /// For oauth2: where the client's secret is
    #[arg(long, value_name = "REFERENCE", value_parser = super::ReferenceParser)]
    client_secret: Option<SecretReference>,
    /// For oauth2: scopes, separated by spaces
    #[arg(long)]
    scope: Option<String>,
    /// For kubeconfig: where the file is
    #[arg(long, value_name = "REFERENCE", value_parser = super::ReferenceParser)]
    kubeconfig: Option<SecretReference>,
    /// Requests to allow, for example 'GET,POST /job/**'; without this, all that a plugin's manifest asks for
    #[arg(long = "allow", value_name = "METHODS PATH")]
    allow: Vec<String>,
    /// Requests that only read though their method does not say so, for example 'POST /search': dry runs make them
    #[arg(long = "reads", value_name = "METHODS PATH")]
    reads: Vec<String>,
    /// A plugin that may use it; without this, every plugin
    #[arg(long = "plugin")]
    plugins: Vec<PluginName>,
    /// A public setting that plugins may read
    #[arg(long = "property", value_name = "NAME=VALUE")]
    properties: Vec<String>,
    /// The endpoint may be in a private or local network
    #[arg(long)]
    private_network: bool,
    /// It leads to production: a release that changes something there is refused unless its workflow says by what it
    /// is rolled back
    #[arg(long)]
    needs_rollback_trigger: bool,
}

pub(crate) async fn connection(command: ConnectionCommand, context: &Context<'_>) -> anyhow::Result<u8> {
    let client = context.client().await?;
    let connections: Vec<Connection> = match command {
        ConnectionCommand::Add(args) => {
            let new = declared(*args)?;
            let known: Vec<Connection> = client.get("/v1/connections").await?;
            let before = known.into_iter().find(|it| it.name == new.name && *it != new);
            let kept = vec![kept(new, &client, context).await?];
            if let Some(before) = before {
                let was = line(&before);
                context.output.note(format_args!(
                    "it replaces what was declared before; `windlass connection change` gives more rights and keeps the rest. It was: {}",
                    was.trim_end().replace('\n', "")
                ));
            }
            kept
        }
        ConnectionCommand::Change(args) => {
            let known: Vec<Connection> = client.get("/v1/connections").await?;
            let names: Vec<&str> = known.iter().map(|it| it.name.as_str()).collect();
            let missing = || match names.as_slice() {
                [] => format!("there is no connection `{}`; `windlass connection add` declares one", args.name),
                names => format!("there is no connection `{}`; there is {}", args.name, names.join(", ")),
            };
            let before = known.iter().find(|it| it.name == args.name).with_context(missing)?.clone();
            vec![kept(changed(before, args)?, &client, context).await?]
        }
        ConnectionCommand::List => client.get("/v1/connections").await?,
        ConnectionCommand::Remove { name } => {
            client.delete(&format!("/v1/connections/{name}")).await?;
            client.get("/v1/connections").await?
        }
        ConnectionCommand::Test { name, path } => {
            let body = ConnectionTestBody { path };
            let test: ConnectionTest = client.post(&format!("/v1/connections/{name}/test"), &body).await?;
            context.output.data(&test, |it| {
                let sign = if it.works { styled(GOOD, "✔") } else { styled(BAD, "✘") };
                format!(
                    "{sign} {name}\n{}\n",
                    it.findings.iter().map(|it| format!("  {it}")).collect::<Vec<_>>().join("\n")
                )
            });
            return Ok(u8::from(!test.works));
        }
    };
    context.output.data(&connections, |it| it.iter().map(line).collect());
    Ok(0)
}

/// Declares it, and says what is odd about its rules, and if its secret is not there yet.
async fn kept(connection: Connection, client: &Client, context: &Context<'_>) -> anyhow::Result<Connection> {
    let kept: Connection = client.post("/v1/connections", &connection).await?;
    for odd in kept.allow.iter().chain(&kept.reads).flat_map(review_rule) {
        context.output.note(format_args!("it is declared; {}", odd.message));
    }
    if !kept.private_network && kept.base_url.as_deref().is_some_and(is_plainly_local) {
        context.output.note(format_args!(
            "it is declared, and requests to it are denied: its address is on this machine or in a private network; `windlass connection change {} --private-network` lets it go there",
            kept.name
        ));
    }
    note_unknown(&[], &kept.plugins, client, context).await?;
    let secret: SecretBody = client.get(&format!("/v1/connections/{}/secret", kept.name)).await?;
    if let Some(why) = secret.unreadable {
        context.output.note(format_args!("it is declared, and cannot be used yet: {why}"));
    }
    Ok(kept)
}

/// With more rights. A list that is empty allows everything, and would allow less with something in it.
fn changed(mut connection: Connection, args: ChangeArgs) -> anyhow::Result<Connection> {
    let name = &connection.name;
    anyhow::ensure!(
        args.others.is_empty(),
        "this only gives more rights; for another address or credential declare it again, with all of it: `windlass connection add {name} --url …`, which replaces it"
    );
    if !args.allow.is_empty() {
        anyhow::ensure!(!connection.allow.is_empty(), "`{name}` allows all that a plugin's manifest asks for already");
    }
    if !args.plugins.is_empty() {
        anyhow::ensure!(!connection.plugins.is_empty(), "every plugin may use `{name}` already");
    }
    anyhow::ensure!(
        args.private_network || !(args.allow.is_empty() && args.reads.is_empty() && args.plugins.is_empty()),
        "say what it is to do: `--allow`, `--reads`, `--plugin` or `--private-network`"
    );
    let add = |flag: &str, to: &mut Vec<RequestRule>, given: &[String]| -> anyhow::Result<()> {
        for text in given {
            let rule = rule(flag, text)?;
            if !to.contains(&rule) {
                to.push(rule);
            }
        }
        Ok(())
    };
    add("--allow", &mut connection.allow, &args.allow)?;
    add("--reads", &mut connection.reads, &args.reads)?;
    for plugin in args.plugins {
        if !connection.plugins.contains(&plugin) {
            connection.plugins.push(plugin);
        }
    }
    connection.private_network |= args.private_network;
    Ok(connection)
}

fn line(it: &Connection) -> String {
    let allow = if it.allow.is_empty() { "all that a manifest asks for".to_owned() } else { rules(&it.allow) };
    let network = if it.private_network { ", private network" } else { "" };
    let needs = if it.needs_rollback_trigger { ", needs a rollback trigger" } else { "" };
    let url = it.base_url.as_deref().unwrap_or("(no address)");
    let reads = if it.reads.is_empty() { String::new() } else { format!("  dry runs read {}\n", rules(&it.reads)) };
    format!("{}  {url} ({}{network}{needs})\n  allows {allow}\n{reads}", it.name, it.authentication.kind())
}

fn rules(rules: &[RequestRule]) -> String {
    rules.iter().map(|it| format!("{} {}", it.methods.join(","), it.path)).collect::<Vec<_>>().join("; ")
}

/// What was given for another way of authenticating than the one that is asked for would be lost without a word.
fn check_unused(args: &AddArgs) -> anyhow::Result<()> {
    let given = [
        ("--username", args.username.is_some(), &[Auth::Basic][..]),
        ("--password", args.password.is_some(), &[Auth::Basic]),
        ("--token", args.token.is_some(), &[Auth::Bearer]),
        ("--header", args.header.is_some(), &[Auth::Header]),
        ("--value", args.value.is_some(), &[Auth::Header]),
        ("--token-url", args.token_url.is_some(), &[Auth::Oauth2]),
        ("--client-id", args.client_id.is_some(), &[Auth::Oauth2]),
        ("--client-secret", args.client_secret.is_some(), &[Auth::Oauth2]),
        ("--scope", args.scope.is_some(), &[Auth::Oauth2]),
        ("--kubeconfig", args.kubeconfig.is_some(), &[Auth::Kubeconfig]),
    ];
    match given.into_iter().find(|(_, is_given, of)| *is_given && !of.contains(&args.auth)) {
        Some((flag, _, of)) => {
            anyhow::bail!("`{flag}` is for `--auth {}`, and this is `--auth {}`", of[0].name(), args.auth.name())
        }
        None => Ok(()),
    }
}

fn declared(args: AddArgs) -> anyhow::Result<Connection> {
    check_unused(&args)?;
    let auth = args.auth.name();
    let needs = |flag: &str| format!("`--auth {auth}` needs `{flag}`");
    let authentication = match args.auth {
        Auth::None => Authentication::None,
        Auth::Basic => Authentication::Basic {
            username: args.username.with_context(|| needs("--username"))?,
            password: args.password.with_context(|| needs("--password"))?,
        },
        Auth::Bearer => Authentication::Bearer { token: args.token.with_context(|| needs("--token"))? },
        Auth::Header => Authentication::Header {
            header: args.header.with_context(|| needs("--header"))?,
            value: args.value.with_context(|| needs("--value"))?,
        },
        Auth::Oauth2 => Authentication::OAuth2ClientCredentials {
            token_url: args.token_url.with_context(|| needs("--token-url"))?,
            client_id: args.client_id.with_context(|| needs("--client-id"))?,
            client_secret: args.client_secret.with_context(|| needs("--client-secret"))?,
            scope: args.scope,
        },
        Auth::Kubeconfig => {
            Authentication::Kubeconfig { kubeconfig: args.kubeconfig.with_context(|| needs("--kubeconfig"))? }
        }
    };
    anyhow::ensure!(
        args.url.is_some() || matches!(authentication, Authentication::Kubeconfig { .. }),
        "a connection needs `--url`, unless a kubeconfig says where to go"
    );
    Ok(Connection {
        name: args.name,
        base_url: args.url.map(|it| it.trim_end_matches('/').to_owned()),
        authentication,
        properties: super::run::arguments(&args.properties)?.into_iter().collect::<BTreeMap<_, _>>(),
        allow: args.allow.iter().map(|it| rule("--allow", it)).collect::<anyhow::Result<_>>()?,
        reads: args.reads.iter().map(|it| rule("--reads", it)).collect::<anyhow::Result<_>>()?,
        plugins: args.plugins,
        private_network: args.private_network,
        needs_rollback_trigger: args.needs_rollback_trigger,
    })
}

/// `GET,POST /job/**`
fn rule(flag: &str, text: &str) -> anyhow::Result<RequestRule> {
    let refuse = |why: &str| {
        format!("`{flag} {text}` is no rule: {why}; write methods and a path, for example 'GET,POST /job/**'")
    };
    let (methods, path) = text.trim().split_once(' ').with_context(|| refuse("there is no space in it"))?;
    let methods: Vec<String> = methods.split(',').map(ToOwned::to_owned).collect();
    let good = methods.iter().all(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_uppercase()));
    anyhow::ensure!(good, refuse("a method is written in upper-case letters"));
    anyhow::ensure!(path.trim().starts_with('/'), refuse("a path begins with `/`"));
    let rule = RequestRule { methods, path: path.trim().to_owned() };
    if let Some(problem) = review_rule(&rule).into_iter().find(|it| it.severity == Severity::Problem) {
        anyhow::bail!("`{flag} {text}` allows nothing: {}", problem.message);
    }
    Ok(rule)
}
