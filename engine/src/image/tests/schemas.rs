//! Records types that have moved on, and records types that have not.

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, Serialize, Deserialize)]
struct Newer {
    pid: u32,
    comm: String,
    extents: Vec<(u64, u64, u64)>,
    colour: Option<Vec<u8>>,
}
impl Schemas for Newer {
    const SCHEMAS: &'static [(&'static str, u32)] = &[("job", 2)];
}

#[derive(Debug, Serialize, Deserialize)]
struct Other {
    pid: u32,
}
impl Schemas for Other {
    const SCHEMAS: &'static [(&'static str, u32)] = &[("job", 3), ("socket", 1)];
}

#[test]
fn unknown_fields_are_passed_over_and_absent_ones_may_be() {
    let (_dir, path) = scratch();
    let newer = Newer { pid: 5, comm: "x".into(), extents: vec![], colour: Some(vec![1; 5000]) };
    Writer::create(&path, fixed_origin(4096), FrameSum::Xxh3).unwrap().finish(&newer, Sync::None).unwrap();
    let job: Job = Reader::open(&path).unwrap().records().unwrap();
    assert_eq!((job.pid, job.comm.as_str()), (5, "x"));

    write_file(&path, &[]);
    let newer: Newer = Reader::open(&path).unwrap().records().unwrap();
    assert!(newer.colour.is_none());
    let older: Other = Reader::open(&path).unwrap().records().unwrap();
    assert_eq!(older.pid, 4711);
}

#[test]
fn newer_and_unknown_kinds_are_refused() {
    let (_dir, path) = scratch();
    Writer::create(&path, fixed_origin(4096), FrameSum::Xxh3)
        .unwrap()
        .finish(&Other { pid: 1 }, Sync::None)
        .unwrap();
    let reader = Reader::open(&path).unwrap();
    let err = reader.records::<Job>().unwrap_err();
    assert_eq!(
        err.to_string(),
        "context file has records of kind 'job' in version 3, but this cairn reads up to 2"
    );
    let err = reader.records::<()>().unwrap_err();
    assert!(matches!(err, Error::FutureSchema { found: 3, supported: 0, .. }), "{err:?}");
}

#[test]
fn a_wrong_shape_is_damage_with_a_reason() {
    #[derive(Debug, Deserialize)]
    struct Stranger {
        #[expect(dead_code)]
        name: String,
    }
    impl Schemas for Stranger {
        const SCHEMAS: &'static [(&'static str, u32)] = Job::SCHEMAS;
    }
    let (_dir, path) = scratch();
    write_file(&path, &[]);
    let err = Reader::open(&path).unwrap().records::<Stranger>().unwrap_err();
    assert!(matches!(err, Error::Damaged { section: Section::Records, .. }), "{err:?}");
    assert!(err.to_string().contains("name"), "{err}");
}
