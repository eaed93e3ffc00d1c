//! The tables: our columns in Arrow's words, and the files of each.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::datasource::MemTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use tollgate_store::lake::columns::{self, Kind};
use tollgate_store::live::LiveTable;
use url::Url;

/// Makes a table known under its name.
pub(crate) fn register(
    context: &SessionContext,
    root: &Path,
    table: &LiveTable,
) -> Result<(), DataFusionError> {
    let (name, schema) = (table.schema.name, arrow_schema(table.schema));
    if table.files.is_empty() {
        let empty = MemTable::try_new(schema, vec![Vec::new()])?;
        context.register_table(name, Arc::new(empty))?;
        return Ok(());
    }
    let urls = table.files.iter().map(|file| url(&root.join(file)));
    let options = ListingOptions::new(Arc::new(ParquetFormat::default()));
    let config = ListingTableConfig::new_with_multi_paths(urls.collect::<Result<_, _>>()?)
        .with_listing_options(options)
        .with_schema(schema);
    context.register_table(name, Arc::new(ListingTable::try_new(config)?))?;
    Ok(())
}

/// The URL of one file; a path's own `*` and `?` mean nothing in it.
fn url(path: &Path) -> Result<ListingTableUrl, DataFusionError> {
    let url = Url::from_file_path(path).map_err(|()| {
        let what = format!("{} cannot be named as a URL", path.display());
        DataFusionError::Configuration(what)
    })?;
    ListingTableUrl::try_new(url, None)
}

fn arrow_schema(schema: &columns::Schema) -> SchemaRef {
    let fields = schema.fields.iter().map(|field| {
        let kind = match field.kind {
            Kind::U32 => DataType::UInt32,
            Kind::U64 => DataType::UInt64,
            Kind::I64 => DataType::Int64,
            Kind::Time => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Kind::Flag => DataType::Boolean,
            Kind::Uuid | Kind::Bytes16 => DataType::FixedSizeBinary(16),
            Kind::Word => DataType::Utf8View,
            Kind::Bytes => DataType::BinaryView,
        };
        Field::new(field.name, kind, field.optional)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
