"""The platform's vocabulary as documents: site, deploy, metadata, manifest, build, token, tree."""

from blackstart.model.build import Build, BuildState, InvalidBuild, Lease, parse_build
from blackstart.model.deploy import (
    Context,
    Deploy,
    DeployState,
    InvalidDeploy,
    Metadata,
    parse_deploy,
)
from blackstart.model.hook import BuildHook
from blackstart.model.manifest import Manifest, ManifestFile
from blackstart.model.paths import check_site_path
from blackstart.model.site import Plan, Repo, Site
from blackstart.model.token import Scope, Token
from blackstart.model.tree import Tree, TreeEntry, TreeOf

__all__ = [
    "Build",
    "BuildHook",
    "BuildState",
    "Context",
    "Deploy",
    "DeployState",
    "InvalidBuild",
    "InvalidDeploy",
    "Lease",
    "Manifest",
    "ManifestFile",
    "Metadata",
    "Plan",
    "Repo",
    "Scope",
    "Site",
    "Token",
    "Tree",
    "TreeEntry",
    "TreeOf",
    "check_site_path",
    "parse_build",
    "parse_deploy",
]
