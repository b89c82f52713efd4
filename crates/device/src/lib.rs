//! tintype: device.
