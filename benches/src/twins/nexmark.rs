//! The rows of Nexmark as the queries read them. Times are ms since the epoch.

use crate::drive::Timed;
use serde::Deserialize;

#[derive(Deserialize)]
pub struct Person<'a> {
    pub id: u64,
    pub name: &'a str,
    pub city: &'a str,
    pub state: &'a str,
    pub at: u64,
}

#[derive(Deserialize)]
pub struct Auction {
    pub id: u64,
    pub seller: u64,
    pub category: u64,
    pub expires: u64,
    pub at: u64,
}

#[derive(Deserialize)]
pub struct Bid {
    pub auction: u64,
    pub price: u64,
    pub at: u64,
}

impl Timed for Person<'_> {
    fn at(&self) -> u64 {
        self.at * 1000
    }
}

impl Timed for Auction {
    fn at(&self) -> u64 {
        self.at * 1000
    }
}

impl Timed for Bid {
    fn at(&self) -> u64 {
        self.at * 1000
    }
}
