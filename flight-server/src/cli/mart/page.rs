//! Pages about marts: HTML that needs nothing from elsewhere.

mod drawing;
mod html;
mod layers;

pub(super) use self::{
    drawing::{Node, svg},
    html::{Page, attribute, escaped},
};
