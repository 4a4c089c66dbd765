//! What the normalizer makes of bodies.

mod facts;
mod objects;
mod odd;
mod published;
mod rows;
