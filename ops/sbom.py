"""`python -m ops.sbom`: print a bill of materials (CycloneDX 1.6, JSON) of a production installation of this project.

It has the packages of all extras but `demo` and `dev`, as they are installed here, and the scripts that the console
serves to browsers. It is made when a release is built, and not kept: its serial number and its time are new each time.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from ops.dependencies import PROJECT, UNNAMED, Dependency, list_dependencies, read_requirements

VENDORED = Path(__file__).parent.parent / "producers/gateway/console/static/vendor/manifest.toml"


def bill_of_materials(dependencies: list[Dependency]) -> str:
    """Return the bill as JSON text."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    root = _component("pypi", project["name"], project["version"], ComponentType.APPLICATION)
    bom = Bom()
    bom.metadata.component = root
    components = {each.name: _component("pypi", each.name, each.version, licence=each.licence) for each in dependencies}
    files = tomllib.loads(VENDORED.read_text(encoding="utf-8"))["file"]
    packages = {(file["package"], file["version"], file["license"]) for file in files}
    scripts = [_component("npm", name, version, licence=licence) for name, version, licence in sorted(packages)]
    bom.components.update(components.values(), scripts)
    direct = {canonicalize_name(requirement.name) for of in read_requirements().values() for requirement in of}
    bom.register_dependency(root, [*(components[name] for name in sorted(direct)), *scripts])
    for each in dependencies:
        bom.register_dependency(components[each.name], [components[name] for name in each.needs])
    return JsonV1Dot6(bom).output_as_string(indent=2)


def _component(
    kind: str,
    name: str,
    version: str,
    component_type: ComponentType = ComponentType.LIBRARY,
    *,
    licence: str = UNNAMED,
) -> Component:
    url = PackageURL(kind, name=name, version=version)
    licences = [] if licence == UNNAMED else [LicenseFactory().make_from_string(licence)]
    return Component(
        name=name, version=version, type=component_type, purl=url, bom_ref=url.to_string(), licenses=licences
    )


if __name__ == "__main__":
    print(bill_of_materials(list_dependencies(read_requirements())))
