//! A picture as a model's input: placed, coloured, counted and laid out as the model takes it.

use super::description::{Axes, Colour, Detection, Fit, Output};
use super::placement::Placement;
use crate::picture;
use crate::runtime::{Element, Given, Model, Outlet};
use anyhow::{Context, bail, ensure};
use image::RgbImage;

/// The side of a square input that neither the model nor its description says.
const SIDE: u32 = 640;
/// The same, of Darknet's models.
const DARKNET_SIDE: u32 = 416;

/// An input that is known in all that matters.
#[derive(Debug)]
pub struct Feed {
    pub name: String,
    axes: Axes,
    pub width: u32,
    pub height: u32,
    pub fit: Fit,
    /// Any number of pictures may be given at once, by what the model's file says.
    pub is_open: bool,
    /// Red, green, blue.
    pad: [u8; 3],
    /// By place among the model's colours: which of red, green and blue it is.
    colours: [usize; 3],
    scale: Scale,
}

/// What each value of each of the model's colours becomes.
#[derive(Debug)]
enum Scale {
    Bytes,
    Floats(Box<[[f32; 256]; 3]>),
}

/// The numbers of an input.
#[derive(Debug, PartialEq)]
pub enum Numbers {
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
}

impl Feed {
    /// # Errors
    /// The model takes something else than one picture, or its description says otherwise than its file.
    pub fn new(description: &Detection, model: &Model) -> anyhow::Result<Self> {
        let input = &description.input;
        let outlet = chosen(input.name.as_deref(), model.inputs())?;
        let (axes, height, width) = axes(outlet, input.layout)?;
        let noted = model.note("imgsz").and_then(noted_size);
        let usual = if matches!(description.output, Some(Output::Obico(_))) { DARKNET_SIDE } else { SIDE };
        let side = |name: &str, declared: Option<usize>, described: Option<u32>, noted: Option<u32>| {
            let declared = declared.map(u32::try_from).transpose().context("its input is too large")?;
            let (side, said) = (declared.or(described).or(noted).unwrap_or(usual), described.or(declared));
            ensure!(
                said.is_none_or(|said| said == side),
                "its input `{}` is {outlet}, and `input.{name}` says {}",
                outlet.name,
                said.unwrap_or_default()
            );
            ensure!((1..=8192).contains(&side), "its input `{}` is {outlet}: that is no picture's size", outlet.name);
            Ok(side)
        };
        let width = side("width", width, input.width, noted.map(|(_, width)| width))?;
        let height = side("height", height, input.height, noted.map(|(height, _)| height))?;
        let scale = match outlet.element {
            Element::Float32 => {
                let (mean, std) = (input.mean.unwrap_or([0.0; 3]), input.std.unwrap_or([255.0; 3]));
                let of = |place: usize| std::array::from_fn(|value| (value as f32 - mean[place]) / std[place]);
                Scale::Floats(Box::new(std::array::from_fn(of)))
            }
            Element::Uint8 => {
                let asked = input.mean.is_some() || input.std.is_some();
                ensure!(!asked, "its input `{}` is {outlet}: bytes have no `mean` and `std`", outlet.name);
                Scale::Bytes
            }
            _ => bail!(
                "its input `{}` is {outlet}: jarvis has float32 and uint8; export the model with 32-bit floats",
                outlet.name
            ),
        };
        let colours = match input.colour {
            Colour::Rgb => [0, 1, 2],
            Colour::Bgr => [2, 1, 0],
        };
        let fit = input.fit.unwrap_or(Fit::Letterbox);
        let (name, is_open) = (outlet.name.clone(), outlet.sizes.first() == Some(&None));
        Ok(Feed { name, axes, width, height, fit, is_open, pad: input.pad, colours, scale })
    }

    /// Of so many pictures.
    pub fn shape(&self, count: usize) -> [usize; 4] {
        let (height, width) = (self.height as usize, self.width as usize);
        match self.axes {
            Axes::Nchw => [count, 3, height, width],
            Axes::Nhwc => [count, height, width, 3],
        }
    }

    /// A picture of nothing, to try the model on.
    pub fn blank(&self) -> RgbImage {
        RgbImage::from_pixel(self.width, self.height, image::Rgb(self.pad))
    }

    /// The numbers of several pictures one after the other, at least one, and where each lies in its input.
    ///
    /// # Errors
    /// A picture has no pixels.
    pub fn prepare_all(&self, of: &[RgbImage]) -> anyhow::Result<(Vec<Placement>, Numbers)> {
        let [first, others @ ..] = of else { bail!("there are no pictures") };
        let (placement, mut all) = self.prepare(first)?;
        let mut placements = vec![placement];
        for picture in others {
            let (placement, numbers) = self.prepare(picture)?;
            placements.push(placement);
            match (&mut all, numbers) {
                (Numbers::Bytes(all), Numbers::Bytes(own)) => all.extend(own),
                (Numbers::Floats(all), Numbers::Floats(own)) => all.extend(own),
                _ => bail!("pictures became numbers of different kinds"),
            }
        }
        Ok((placements, all))
    }

    /// # Errors
    /// The picture has no pixels.
    pub fn prepare(&self, of: &RgbImage) -> anyhow::Result<(Placement, Numbers)> {
        ensure!(of.width() > 0 && of.height() > 0, "the picture has no pixels");
        let placement = Placement::new(self.fit, of.dimensions(), (self.width, self.height));
        let is_so = of.dimensions() == (placement.width, placement.height);
        let resized = if is_so { None } else { Some(picture::resized(of, placement.width, placement.height)?) };
        let placed = resized.as_ref().unwrap_or(of);
        let numbers = match &self.scale {
            Scale::Bytes => Numbers::Bytes(self.lay_out(placed, placement, |_, value| value)),
            Scale::Floats(table) => {
                let number = |place: usize, value: u8| table[place][usize::from(value)];
                Numbers::Floats(self.lay_out(placed, placement, number))
            }
        };
        Ok((placement, numbers))
    }

    /// `number`: what a value becomes, by the colour's place.
    fn lay_out<T: Copy + Default>(
        &self,
        picture: &RgbImage,
        placement: Placement,
        number: impl Fn(usize, u8) -> T,
    ) -> Vec<T> {
        let (width, height) = (self.width as usize, self.height as usize);
        let mut numbers = vec![T::default(); 3 * width * height];
        // From one pixel to the next, and from one colour of it to the next.
        let (step, plane) = match self.axes {
            Axes::Nchw => (1, width * height),
            Axes::Nhwc => (3, 1),
        };
        for (place, colour) in self.colours.into_iter().enumerate() {
            let around = number(place, self.pad[colour]);
            let own = numbers[place * plane..].iter_mut().step_by(step).take(width * height);
            own.for_each(|to| *to = around);
            for (y, row) in picture.rows().enumerate() {
                let first = (placement.top as usize + y) * width + placement.left as usize;
                let own = numbers[place * plane + first * step..].iter_mut().step_by(step);
                own.zip(row).for_each(|(to, pixel)| *to = number(place, pixel.0[colour]));
            }
        }
        numbers
    }
}

impl Numbers {
    pub fn given<'a>(&'a self, shape: &'a [usize]) -> Given<'a> {
        match self {
            Numbers::Bytes(values) => Given::Uint8(shape, values),
            Numbers::Floats(values) => Given::Float32(shape, values),
        }
    }
}

fn chosen<'a>(name: Option<&str>, inputs: &'a [Outlet]) -> anyhow::Result<&'a Outlet> {
    let all = || inputs.iter().map(|input| format!("`{}` {input}", input.name)).collect::<Vec<_>>().join(", ");
    let [only] = inputs else {
        bail!("it takes {} inputs, {}: a detector takes a picture and nothing else", inputs.len(), all())
    };
    ensure!(
        name.is_none_or(|name| only.name == name),
        "it has no input `{}`; it has {}",
        name.unwrap_or_default(),
        all()
    );
    Ok(only)
}

/// The order of an input's dimensions, its height and its width, if they are fixed.
fn axes(outlet: &Outlet, said: Option<Axes>) -> anyhow::Result<(Axes, Option<usize>, Option<usize>)> {
    let wrong = || {
        format!(
            "its input `{}` is {outlet}: one picture is [1,3,height,width] or [1,height,width,3]{}",
            outlet.name,
            match said {
                Some(Axes::Nchw) => ", and `input.layout` says the former",
                Some(Axes::Nhwc) => ", and `input.layout` says the latter",
                None => "",
            }
        )
    };
    let [batch, a, b, c] = outlet.sizes[..] else { bail!(wrong()) };
    let may_be = |size: Option<usize>, of: usize| size.is_none_or(|size| size == of);
    ensure!(may_be(batch, 1), wrong());
    let nchw = may_be(a, 3) && said != Some(Axes::Nhwc);
    let nhwc = may_be(c, 3) && said != Some(Axes::Nchw);
    match (nchw, nhwc) {
        // Both: only one of them is certain, or none.
        (true, true) if a.is_none() && c.is_some() => Ok((Axes::Nhwc, a, b)),
        (true, _) => Ok((Axes::Nchw, b, c)),
        (_, true) => Ok((Axes::Nhwc, a, b)),
        (false, false) => bail!(wrong()),
    }
}

/// `[640, 640]`, height and width, as Ultralytics notes them.
fn noted_size(text: &str) -> Option<(u32, u32)> {
    let mut sides = text.trim_matches(|c| "[]() ".contains(c)).split(',').map(|side| side.trim().parse().ok());
    match (sides.next()??, sides.next()?) {
        (height, Some(width)) if sides.next().is_none() => Some((height, width)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlet(sizes: [Option<usize>; 4]) -> Outlet {
        Outlet { name: "images".to_owned(), element: Element::Float32, sizes: sizes.to_vec() }
    }

    #[test]
    fn the_order_of_dimensions_is_seen_by_the_three_colours() {
        let some = Some;
        let found = |sizes| axes(&outlet(sizes), None).ok();
        assert_eq!(found([some(1), some(3), some(4), some(5)]), Some((Axes::Nchw, some(4), some(5))));
        assert_eq!(found([some(1), some(4), some(5), some(3)]), Some((Axes::Nhwc, some(4), some(5))));
        assert_eq!(found([None, None, None, some(3)]), Some((Axes::Nhwc, None, None)));
        assert_eq!(found([None, None, None, None]), Some((Axes::Nchw, None, None)));
        assert_eq!(found([some(1), some(1), some(4), some(5)]), None);
        assert_eq!(found([some(8), some(3), some(4), some(5)]), None);
        let error = axes(&outlet([some(1), some(3), some(4), some(5)]), Some(Axes::Nhwc)).unwrap_err().to_string();
        assert!(error.contains("float32[1,3,4,5]") && error.contains("says the latter"), "{error}");
    }

    #[test]
    fn a_noted_size_is_read() {
        assert_eq!(noted_size("[480, 640]"), Some((480, 640)));
        assert_eq!(noted_size("640"), None);
        assert_eq!(noted_size("[1, 2, 3]"), None);
        assert_eq!(noted_size("[-1, x]"), None);
    }

    #[test]
    fn a_picture_is_laid_out_by_colour_or_by_pixel() {
        let feed = |axes, colours| Feed {
            name: String::new(),
            axes,
            width: 2,
            height: 2,
            fit: Fit::Letterbox,
            is_open: false,
            pad: [7, 8, 9],
            colours,
            scale: Scale::Bytes,
        };
        // Half as high as wide: the odd row of the margin is below.
        let picture = RgbImage::from_vec(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
        let bytes = |feed: Feed| match feed.prepare(&picture).unwrap().1 {
            Numbers::Bytes(bytes) => bytes,
            Numbers::Floats(_) => vec![],
        };
        assert_eq!(bytes(feed(Axes::Nchw, [0, 1, 2])), [1, 4, 7, 7, 2, 5, 8, 8, 3, 6, 9, 9]);
        assert_eq!(bytes(feed(Axes::Nhwc, [0, 1, 2])), [1, 2, 3, 4, 5, 6, 7, 8, 9, 7, 8, 9]);
        assert_eq!(bytes(feed(Axes::Nhwc, [2, 1, 0])), [3, 2, 1, 6, 5, 4, 9, 8, 7, 9, 8, 7]);
        assert!(feed(Axes::Nchw, [0, 1, 2]).prepare(&RgbImage::new(0, 3)).is_err());
    }
}
