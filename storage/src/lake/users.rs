//! Users of the lake.

use std::sync::Arc;

use url::Url;

use super::Lake;
use crate::{StorageError, catalog::UsersDocument, store::object_path};

/// The name of the document.
const USERS: &str = "users";

/// The folder that it lies in.
const FOLDERS: [&str; 2] = ["_boathouse", "identity"];

impl Lake {
    /// Whether a file is one that says who may use a lake, this or another: it holds hashes of passwords, which no query reads.
    pub fn is_private(file: &Url) -> bool {
        // What cannot be read as a path names no file.
        let Ok(path) = object_path(file) else { return false };
        let parts: Vec<_> = path.parts().collect();
        parts
            .windows(2)
            .any(|pair| pair.iter().zip(FOLDERS).all(|(part, folder)| part.as_ref().eq_ignore_ascii_case(folder)))
    }

    /// Users and access tokens; an empty document when there never was a user. Sees every change that ended before the call.
    pub async fn users(&self) -> Result<Arc<UsersDocument>, StorageError> {
        Ok(self.users.read(USERS).await?.map(|found| found.document).unwrap_or_default())
    }

    /// Changes the document: `change` runs on the newest one, again after a lost race, a bounded number of times. Its error is
    /// the answer, and nothing is changed then.
    pub async fn change_users<E: From<StorageError> + Send>(
        &self,
        change: impl Fn(&mut UsersDocument) -> Result<(), E> + Send + Sync,
    ) -> Result<Arc<UsersDocument>, E> {
        let refused = parking_lot::Mutex::new(None);
        let changed = self
            .users
            .change(USERS, |before| {
                let mut document = before.as_deref().cloned().unwrap_or_default();
                let result = change(&mut document).map_err(|error| {
                    *refused.lock() = Some(error);
                    StorageError::Internal { message: "the change was refused".to_owned() }
                });
                async move { result.map(|()| document) }
            })
            .await;
        match (changed, refused.into_inner()) {
            (_, Some(error)) => Err(error),
            (changed, None) => Ok(changed?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_users_are_private_however_they_are_written() {
        let is_private = |url: &str| Lake::is_private(&Url::parse(url).unwrap());
        assert!(is_private("file:///lake/_boathouse/identity/users/00000000000000000001.json"));
        assert!(is_private("s3://bucket/lake/_boathouse/identity/"));
        assert!(is_private("s3://bucket/%5Fboathouse/ident%69ty/users/0.json"));
        assert!(!is_private("s3://bucket/lake/_boathouse/catalog/main/0.json"));
        assert!(!is_private("s3://bucket/identity/_boathouse/0.json"));
    }
}
