//! Beside what e2fsprogs makes and says.
