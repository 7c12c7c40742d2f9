//! `boathouse mart docs`: a static site about all marts. It needs no server: its pages are opened as files, too.

mod index;
mod mart;

use std::{collections::BTreeSet, fs, io, path::Path, path::PathBuf};

use boathouse_engine::mart::About;

use super::{Place, error_text, open_to_look, page::Page, text::plural};

/// Where the pages of marts lie in it.
const MARTS: &str = "marts";

/// The flags of `boathouse mart docs`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The folder to write to; what an earlier run has written there is replaced
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    #[command(flatten)]
    pub place: Place,
}

/// Writes the site.
pub(super) async fn run(args: &Args) -> Result<bool, String> {
    let (_, project) = open_to_look(&args.place).await?;
    let marts = project.about(&[]).await.map_err(|error| error_text(&error))?;
    let folder = args.folder.display();
    check(&args.folder)?;
    write(&args.folder, &marts).map_err(|error| format!("ERROR: could not write to \"{folder}\": {error}"))?;
    println!("{} {} in {folder}: open index.html", marts.len(), plural(marts.len() as u64, "mart"));
    Ok(true)
}

/// Nothing that is not ours is written over.
fn check(folder: &Path) -> Result<(), String> {
    let index = folder.join("index.html");
    let is_ours = || fs::read_to_string(&index).is_ok_and(|text| Page::is_ours(&text));
    let is_empty = fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    if is_empty || is_ours() {
        return Ok(());
    }
    let folder = folder.display();
    Err(format!(
        "ERROR: \"{folder}\" holds something other than pages about marts\nHINT: Name an empty folder, or a new one."
    ))
}

fn write(folder: &Path, marts: &[About]) -> io::Result<()> {
    let pages = folder.join(MARTS);
    fs::create_dir_all(&pages)?;
    let mut written = BTreeSet::new();
    for mart in marts {
        let file = file_name(&mart.name);
        fs::write(pages.join(&file), mart::html(mart, marts))?;
        written.insert(file);
    }
    fs::write(folder.join("index.html"), index::html(marts))?;
    // Of marts that are no more.
    for entry in fs::read_dir(&pages)? {
        let entry = entry?;
        let is_old = !written.contains(&*entry.file_name().to_string_lossy());
        if is_old && fs::read_to_string(entry.path()).is_ok_and(|text| Page::is_ours(&text)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// A name that any file system and any address takes, another one for each mart.
fn file_name(mart: &str) -> String {
    let mut file = String::new();
    for byte in mart.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' => file.push(char::from(byte)),
            byte => file += &format!("-{byte:02x}"),
        }
    }
    file + ".html"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_names_of_their_own() {
        assert_eq!(file_name("marts.daily_revenue"), "marts.daily_revenue.html");
        assert_eq!(file_name("m.A/../\"x\""), "m.-41-2f..-2f-22x-22.html");
        assert_ne!(file_name("m.a-41"), file_name("m.aA"));
    }
}
