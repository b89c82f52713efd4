#![no_main]
use std::sync::Arc;
use tintype_core::Source;
use tintype_core::testing::Bytes;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let disk: Arc<dyn Source> = Arc::new(Bytes(data.to_vec()));
    if let Ok(Some(table)) = tintype_volumes::tables::read(&*disk) {
        for partition in &table.partitions {
            if let Ok(slice) = table.partition(Arc::clone(&disk), partition.number) {
                assert!(partition.end() <= disk.len());
                let _ = tintype_volumes::recognise(&slice);
            }
        }
    }
    let _ = tintype_volumes::recognise(&*disk);
});
