//! What a user is shown of the config: the reference of all keys, and the schema for editors.

mod reference;
mod schema;

pub(crate) use reference::reference;
pub(crate) use schema::schema;
