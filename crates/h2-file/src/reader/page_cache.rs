//! Pages that lookups by key go through again and again: the nodes of maps, and leaves of small entries.
//! Scans do not use it.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::ReadError;
use crate::map::MapRoot;
use crate::page::{Page, Position};
use crate::store::Store;

/// Memory that cached pages take, at most.
const CACHE_BYTES_MAX: usize = 4 << 20;
/// Larger pages are not kept: a few would push out everything else.
const PAGE_BYTES_MAX: usize = 64 << 10;

/// Recently read pages, oldest out first.
#[derive(Debug, Default)]
pub(crate) struct PageCache {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    pages: HashMap<Position, Arc<Page>>,
    order: VecDeque<Position>,
    bytes: usize,
}

impl PageCache {
    /// The page at `position` of `map`, read if it is not there.
    pub(crate) fn page(
        &self,
        store: &Store,
        position: Position,
        map: MapRoot,
    ) -> Result<Arc<Page>, ReadError> {
        let found = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.pages.get(&position).cloned()
        };
        // A damaged file can refer to one page from two maps; reading it again then says so.
        if let Some(page) = found.filter(|page| page.map == map.id) {
            return Ok(page);
        }
        let mut page = Page::empty();
        page.read(store, position, map.id)?;
        let page = Arc::new(page);
        let bytes = page.memory_bytes();
        if bytes <= PAGE_BYTES_MAX {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.add(position, Arc::clone(&page), bytes);
        }
        Ok(page)
    }
}

impl Kept {
    fn add(&mut self, position: Position, page: Arc<Page>, bytes: usize) {
        if self.pages.insert(position, page).is_some() {
            return;
        }
        self.order.push_back(position);
        self.bytes = self.bytes.saturating_add(bytes);
        while self.bytes > CACHE_BYTES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            let freed = self.pages.remove(&oldest).map_or(0, |page| page.memory_bytes());
            self.bytes = self.bytes.saturating_sub(freed);
        }
    }
}
