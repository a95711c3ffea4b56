use super::*;
#[test]
fn the_documented_defaults_load() {
    let config = Config::defaults().unwrap();
    assert_eq!(config.data_dir, Path::new("data"));
}
