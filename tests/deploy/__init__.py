"""The deployment: Terraform, the bundle, Cloud Build, and the document that explains them."""
