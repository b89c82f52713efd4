//! Beside what dosfstools and mtools make and say.
