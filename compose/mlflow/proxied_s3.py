"""`proxied-s3://bucket`: S3 behind the MLflow server alone. A plugin of MLflow's: mlflow.artifact_repository.

With `s3://` a server answers downloads with presigned URLs, made from its own MLFLOW_S3_ENDPOINT_URL: a name that only
containers know, so that a client outside waits a minute for each file. There is no switch for it in MLflow 3.17; a
repository that cannot presign is handed through, whatever network the client is in.
https://mlflow.org/docs/latest/ml/plugins/
"""

from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository


class ProxiedS3(ArtifactRepository):
    def __init__(self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> None:
        super().__init__(artifact_uri, tracking_uri, registry_uri)
        self._s3 = S3ArtifactRepository(artifact_uri.replace("proxied-s3:", "s3:", 1), tracking_uri, registry_uri)

    def log_artifact(self, local_file, artifact_path=None):
        self._s3.log_artifact(local_file, artifact_path)

    def log_artifacts(self, local_dir, artifact_path=None):
        self._s3.log_artifacts(local_dir, artifact_path)

    def list_artifacts(self, path=None):
        return self._s3.list_artifacts(path)

    def download_artifacts(self, artifact_path, dst_path=None):
        """A file that is not there is 404 and not 500, which clients try again for minutes: for `runs:/<id>/model` they
        look for a file first. Signing a URL asks S3 for it, and raises that."""
        self._s3.get_download_presigned_url(artifact_path)
        return super().download_artifacts(artifact_path, dst_path)

    def _download_file(self, remote_file_path, local_path):
        self._s3._download_file(remote_file_path, local_path)

    def delete_artifacts(self, artifact_path=None):
        self._s3.delete_artifacts(artifact_path)
