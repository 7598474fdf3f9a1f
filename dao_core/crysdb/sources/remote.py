"""A remote source from its configuration."""

from __future__ import annotations

from dao_core.crysdb.sources.base import Source
from dao_core.crysdb.sources.settings import MaterialsProjectConfig, OptimadeConfig, OptimadeFields, OqmdConfig

RemoteConfig = MaterialsProjectConfig | OqmdConfig | OptimadeConfig


def open_remote(config: RemoteConfig) -> Source:
    """The source that a configuration describes; nothing is asked of any server before its rows or version are read.

    Raises SourceError where the key that a server will ask for is missing.
    """
    if isinstance(config, MaterialsProjectConfig):
        from dao_core.crysdb.sources.materials_project import MaterialsProjectSource, api_key

        api_key(config)
        return MaterialsProjectSource(config)
    if isinstance(config, OqmdConfig) and config.route == "rest":
        from dao_core.crysdb.sources.oqmd import OqmdSource

        return OqmdSource(config)
    from dao_core.crysdb.sources.optimade import OptimadeSource

    return OptimadeSource(oqmd_through_optimade(config) if isinstance(config, OqmdConfig) else config)


def oqmd_through_optimade(config: OqmdConfig) -> OptimadeConfig:
    """OQMD's OPTIMADE endpoint with the same names, ids and functional as its REST API.

    There `_oqmd_stability` is never negative: the server cuts it at zero.
    """
    from dao_core.crysdb.sources.oqmd import FUNCTIONAL, LICENSE

    return OptimadeConfig(
        name="oqmd",
        base_url=f"{config.base_url.rstrip('/')}/optimade",
        functional=FUNCTIONAL,
        release=config.release,
        license=LICENSE,
        filter=config.filter,
        fields=OptimadeFields(
            formation_energy_per_atom="_oqmd_delta_e",
            e_above_hull="_oqmd_stability",
            material_id="_oqmd_entry_id",
        ),
        page=config.page,
        http=config.http,
    )
