//! Every plugin that comes with hydra: one line and one feature each. The only list of them.

use hydra_api::Registry;

/// Makes the plugins known whose features are on.
pub fn add_all(registry: &mut Registry) {
    #[cfg(feature = "store-memory")]
    registry.add::<hydra_store_memory::Memory>();
    #[cfg(feature = "store-fjall")]
    registry.add::<hydra_store_fjall::Fjall>();
    #[cfg(feature = "store-sled")]
    registry.add::<hydra_store_sled::Sled>();
    #[cfg(feature = "store-postgres")]
    registry.add::<hydra_store_postgres::Postgres>().add_importer::<hydra_store_postgres::HydraBooster>();
    #[cfg(feature = "store-redis")]
    registry.add::<hydra_store_redis::Redis>();
    #[cfg(feature = "store-tiered")]
    registry.add::<hydra_store_tiered::Tiered>();
    #[cfg(feature = "admission-token-bucket")]
    registry.add::<hydra_admission_token_bucket::TokenBucket>();
    #[cfg(feature = "admission-queue-depth")]
    registry.add::<hydra_admission_queue_depth::QueueDepth>();
    #[cfg(feature = "admission-denylist")]
    registry.add::<hydra_admission_denylist::Denylist>();
    #[cfg(feature = "admission-fair")]
    registry.add::<hydra_admission_fair::Fair>();
    #[cfg(feature = "admission-memory")]
    registry.add::<hydra_admission_memory::Memory>();
    #[cfg(feature = "admission-hot-key")]
    registry.add::<hydra_admission_hot_key::HotKey>();
    #[cfg(feature = "ids-balanced")]
    registry.add::<hydra_ids_balanced::Balanced>();
    // Without any feature nothing is added.
    let _ = registry;
}

#[cfg(test)]
mod tests;
