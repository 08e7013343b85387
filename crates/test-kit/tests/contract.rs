//! The fakes keep the same contracts as every adapter.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metaferry_domain::ports::{JournalStore, LeaseStore, MigrationRows};
use metaferry_test_kit::contract::{self, AppDbUnderTest};
use metaferry_test_kit::fake::{Process, World};

struct Fake {
    world: World,
    process: Arc<Process>,
}

#[async_trait]
impl AppDbUnderTest for Fake {
    fn lease(&self) -> Arc<dyn LeaseStore> {
        self.process.clone()
    }

    fn journal(&self) -> Arc<dyn JournalStore> {
        self.process.clone()
    }

    fn rows(&self) -> Arc<dyn MigrationRows> {
        self.process.clone()
    }

    async fn pass(&self, duration: Duration) {
        self.world.pass(duration).await;
    }
}

async fn fresh() -> Fake {
    let world = World::new(1);
    let process = world.process();
    Fake { world, process }
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_the_fake_is_a_lease() {
    contract::lease_store(fresh).await;
}

#[tokio::test(start_paused = true)]
async fn the_journal_of_the_fake_is_a_journal() {
    contract::journal_store(fresh).await;
}

#[tokio::test(start_paused = true)]
async fn the_rows_of_the_fake_are_rows() {
    contract::migration_rows(fresh).await;
}
