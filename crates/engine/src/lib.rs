//! tintype: engine.
