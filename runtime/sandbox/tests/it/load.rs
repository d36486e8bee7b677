//! What is refused before anything of it runs for a release.

use windlass_sandbox::{ComponentError, PrepareError, Sandbox, embed_manifest, inspect};

use crate::support::{guest, world};

#[tokio::test]
async fn a_component_is_inspected_without_running_it() {
    let world = world().await;
    let component = guest::hostile();
    assert_eq!(inspect(&component), Err(ComponentError::NoManifest));
    let manifest = world.sandbox.describe(&component).await.expect("a manifest");
    let embedded = embed_manifest(&component, &manifest).expect("a component");
    let inspection = Sandbox::inspect(&embedded).expect("a manifest");
    assert_eq!(inspection.manifest.name.as_str(), "hostile");
    assert_eq!(inspection.digest, world.hostile.digest());
    assert_eq!(&inspection.manifest, world.hostile.manifest());
}

#[tokio::test]
async fn the_same_bytes_are_the_same_plugin() {
    let world = world().await;
    let component = guest::hostile();
    let manifest = world.sandbox.describe(&component).await.expect("a manifest");
    let embedded = embed_manifest(&component, &manifest).expect("a component");
    let again = world.sandbox.prepare(&embedded).await.expect("a plugin");
    assert!(std::sync::Arc::ptr_eq(&again, &world.hostile));
}

#[tokio::test]
async fn manifests_that_disagree_are_refused() {
    let world = world().await;
    let component = guest::hostile();
    let manifest = world.sandbox.describe(&component).await.expect("a manifest");
    let other = embed_manifest(&component, &manifest.replace("\"misbehaves\"", "\"behaves\"")).expect("a component");
    let error = world.sandbox.prepare(&other).await.expect_err("they disagree");
    assert!(matches!(&error, PrepareError::ManifestDiffers(place) if place.contains("/actions/")), "{error}");
    let broken = embed_manifest(&component, "{}").expect("a component");
    assert!(matches!(world.sandbox.prepare(&broken).await, Err(PrepareError::InvalidManifest(_))));
    assert!(matches!(
        world.sandbox.prepare(&component).await,
        Err(PrepareError::Component(ComponentError::NoManifest))
    ));
}

#[tokio::test]
async fn manifests_that_trap_or_look_around_are_refused() {
    let sandbox = &world().await.sandbox;
    let error = sandbox.describe(&guest::example("manifest_panics")).await.expect_err("it panics");
    assert!(matches!(&error, PrepareError::Manifest(error) if error.code == "plugin-panicked"), "{error}");
    assert!(error.to_string().contains("no manifest today"), "{error}");
    let error = sandbox.describe(&guest::example("manifest_calls_host")).await.expect_err("it is not pure");
    assert!(matches!(&error, PrepareError::Manifest(error) if error.code == "impure-manifest"), "{error}");
    assert!(error.to_string().contains("log.log"), "{error}");
}

#[tokio::test]
async fn unknown_imports_are_refused_by_name() {
    let error = world().await.sandbox.describe(&guest::example("unknown_import")).await.expect_err("unknown");
    let PrepareError::UnknownImports(names) = &error else { panic!("{error}") };
    assert_eq!(names, &["elsewhere:things/back-door@1.0.0"]);
}

#[tokio::test]
async fn what_is_no_component_is_refused() {
    let sandbox = &world().await.sandbox;
    for bytes in [&b""[..], b"#!/bin/sh", b"(component)", b"\0asm\x01\0\0\0"] {
        assert!(matches!(sandbox.describe(bytes).await, Err(PrepareError::Component(_))));
    }
    let mut cut = guest::hostile();
    cut.truncate(cut.len() / 2);
    assert!(matches!(sandbox.describe(&cut).await, Err(PrepareError::Component(_) | PrepareError::Invalid(_))));
}
